from __future__ import annotations

import pytest
import torch

from msapipe.errors import ConfigError
from msapipe.fusion._base import Given
from msapipe.fusion._context import attended, by_video
from msapipe.fusion.bc_lstm import BcLstm
from tests.fusion._clips import DIMS, labelled


def test_clips_are_put_side_by_side_by_their_video() -> None:
    rows, mask = by_video(torch.tensor([9, 4, 9, 9]))
    assert mask.tolist() == [[True, False, False], [True, True, True]]
    assert rows[mask].tolist() == [1, 0, 2, 3]


def test_attention_between_two_modalities_by_hand() -> None:
    x = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [9.0, 9.0]]])
    y = torch.tensor([[[0.0, 3.0], [3.0, 0.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    first = torch.softmax(torch.tensor([0.0, 3.0]), 0)
    expected = torch.stack([first[1] * 3, torch.tensor(0.0)])
    assert torch.allclose(attended(x, y, mask)[0, 0], expected, atol=1e-6)


def test_a_clip_is_read_in_its_video() -> None:
    torch.manual_seed(0)
    model, batch = BcLstm(DIMS, hidden=8).eval(), labelled()
    batch.video = torch.tensor([0, 0, 0, 1, 1, 1])
    with torch.inference_mode():
        before = model(batch).score
        for values in batch.values.values():
            values[0] += 1.0
        after = model(batch).score
    assert not torch.isclose(before[:3], after[:3], atol=1e-6).any()
    assert torch.equal(before[3:], after[3:])


def test_without_context_every_clip_is_a_video() -> None:
    torch.manual_seed(0)
    model, batch = BcLstm(DIMS, hidden=8, context=False).eval(), labelled()
    with torch.inference_mode():
        alone = model(batch).score
        batch.video = torch.zeros(6, dtype=torch.int64)
        assert torch.equal(model(batch).score, alone)


def test_modalities_learn_first_by_themselves() -> None:
    below, above = BcLstm(DIMS).phases()
    assert (below.name, below.groups[0].prefixes) == ("unimodal", ("nets.", "own."))
    assert (above.name, above.groups[0].prefixes) == ("fusion", ("upper.", "score."))
    model, batch = BcLstm(DIMS, hidden=8), labelled()
    output = model.eval()(batch)
    said = sum((part - batch.labels["M"]).abs().mean() for part in output.unimodal.values())
    assert float(model.loss(output, batch, "unimodal").detach()) == pytest.approx(float(said), abs=1e-5)


def test_two_classes() -> None:
    torch.manual_seed(0)
    model, batch = BcLstm(DIMS, hidden=8, target="sign", limit=3.0).eval(), labelled()
    batch.labels["M"] = torch.tensor([-3.0, -1.0, 0.0, 0.5, 2.0, float("nan")])
    with torch.inference_mode():
        output = model(batch)
        raw = model.score(output.features["fused"])
        chance = raw.softmax(dim=1)[:, 1]
        assert torch.allclose(output.score, 3 * (2 * chance - 1), atol=1e-5)
        known = [0, 1, 3, 4]
        expected = torch.nn.functional.cross_entropy(raw[known], torch.tensor([0, 0, 1, 1]))
        assert float(model.loss(output, batch, "fusion")) == pytest.approx(float(expected), abs=1e-4)
    assert model.phases()[-1].monitor == "acc2"


def test_deep_fusion_reads_what_the_modalities_say() -> None:
    torch.manual_seed(0)
    model, batch = BcLstm(DIMS, hidden=8, fusion="deep").eval(), labelled()
    with torch.inference_mode():
        output = model(batch)
        said = torch.stack(list(output.unimodal.values()), dim=1)
        assert torch.allclose(model.score(model.upper(said))[:, 0], output.score, atol=1e-6)
        batch.video = torch.zeros(6, dtype=torch.int64)
        assert torch.equal(model(batch).score, output.score)


@pytest.mark.parametrize(
    ("videos", "params", "refused"),
    [
        ({}, {}, True),
        ({"a": 1, "b": 1}, {}, True),
        ({"a": 1, "b": 2}, {}, False),
        ({}, {"context": False}, False),
        ({}, {"fusion": "deep"}, False),
    ],
)
def test_videos_of_one_clip_are_refused(videos: dict[str, int], params: dict[str, object], refused: bool) -> None:
    given = Given(9, frozenset("M"), videos, "", True, -3, 3)
    assert ("video_id" in (BcLstm.unfit(given, params) or "")) is refused


def test_odd_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match="limit"):
        BcLstm(DIMS, limit=0.0)
