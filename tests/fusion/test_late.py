from __future__ import annotations

import math

import pytest
import torch

from msapipe.fusion._base import Batch, collate, masked_mean, masked_std
from msapipe.fusion.late import Late
from msapipe.testing import fakes


def model() -> Late:
    """Text scores its mean, vision its spread; text is trusted three times as much."""
    late = Late({"text": 1, "vision": 1}, limit=3.0)
    with torch.no_grad():
        for head in late.heads.values():
            head.linear.weight.zero_()
            head.linear.bias.zero_()
        late.heads["text"].linear.weight[0, 0] = 1.0
        late.heads["vision"].linear.weight[0, 1] = 2.0
        late.heads["vision"].center[1] = 1.0
        late.log_trust.copy_(torch.tensor([math.log(3.0), 0.0]))
    return late.eval()


def batch(seen: bool = True) -> Batch:
    return Batch(
        {"text": torch.tensor([[[1.0], [2.0], [99.0]]]), "vision": torch.tensor([[[1.0], [5.0]]])},
        {"text": torch.tensor([[True, True, False]]), "vision": torch.tensor([[seen, seen]])},
    )


def test_a_hand_computed_score() -> None:
    with torch.inference_mode():
        out = model()(batch())
    text = 3 * math.tanh(1.5 / 3)  # the mean of 1 and 2
    vision = 3 * math.tanh(2 * (2 - 1) / 3)  # the spread of 1 and 5 is 2, centred on 1
    assert float(out.unimodal["text"][0]) == pytest.approx(text)
    assert float(out.unimodal["vision"][0]) == pytest.approx(vision)
    assert float(out.score[0]) == pytest.approx(0.75 * text + 0.25 * vision)
    assert out.diagnostics["share"][0].tolist() == pytest.approx([0.75, 0.25])


def test_the_share_of_what_is_missing_goes_to_the_others() -> None:
    with torch.inference_mode():
        out = model()(batch(seen=False))
        switched_off = model()(batch().without("vision"))
    assert float(out.score[0]) == pytest.approx(3 * math.tanh(0.5))
    assert torch.equal(out.score, switched_off.score)


def test_nothing_at_all_scores_zero() -> None:
    with torch.inference_mode():
        assert float(model()(collate([{}], {"text": 1, "vision": 1})).score[0]) == 0.0


def test_masked_statistics_are_those_of_the_valid_steps() -> None:
    values = torch.tensor([[[1.0], [3.0], [77.0]], [[5.0], [0.0], [0.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert masked_mean(values, mask)[:, 0].tolist() == [2.0, 5.0]
    assert masked_std(values, mask)[:, 0].tolist() == [1.0, 0.0]


def test_collate_pads_and_marks() -> None:
    dims = {"text": 2, "audio": 3}
    clips = [fakes.features(dims, steps=3), {"text": fakes.features(dims, steps=5)["text"]}]
    made = collate(clips, dims)
    assert made.values["text"].shape == (2, 5, 2)
    assert made.mask["text"].sum(1).tolist() == [3, 5]
    assert made.mask["audio"].sum(1).tolist() == [5, 0]
    assert not made.values["audio"][1].any()
