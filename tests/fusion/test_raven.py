from __future__ import annotations

import pytest
import torch

from msapipe.errors import ConfigError
from msapipe.fusion._aligned import within
from msapipe.fusion._base import Batch, Given
from msapipe.fusion.raven import Raven, gathered
from tests.fusion._clips import DIMS


def clip() -> Batch:
    """Two words, the second from 1 s to 3 s, and eight steps of sound of 0.5 s, of which the last is padding."""
    torch.manual_seed(1)
    values = {"text": torch.randn(1, 2, 6), "audio": torch.randn(1, 8, 5), "vision": torch.randn(1, 2, 4)}
    mask = {name: torch.ones(part.shape[:2], dtype=torch.bool) for name, part in values.items()}
    mask["audio"][0, 7] = False
    starts = torch.arange(8) / 2
    times = {
        "text": torch.tensor([[[0.0, 1.0], [1.0, 3.0]]]),
        "audio": torch.stack([starts, starts + 0.5], dim=1).unsqueeze(0),
        "vision": torch.tensor([[[0.0, 1.0], [1.0, 3.0]]]),
    }
    return Batch(values, mask, times=times)


def model(**params: str) -> Raven:
    torch.manual_seed(0)
    return Raven(DIMS, hidden=3, word_hidden=4, **params).eval()


def test_a_step_is_heard_in_the_word_in_whose_time_its_middle_lies() -> None:
    inside = model()._inside("audio", clip())
    assert inside[0].tolist() == [[True] * 2 + [False] * 6, [False] * 2 + [True] * 4 + [False] * 2]
    rows, mask = gathered(clip().values["audio"], inside)
    assert mask.sum(dim=1).tolist() == [2, 4]
    assert torch.equal(rows[1, :4], clip().values["audio"][0, 2:6])


def test_a_shifted_word_by_its_equations() -> None:
    raven, batch = model(), clip()
    with torch.inference_mode():
        words = batch.values["text"]
        shift = raven.bias.expand_as(words).clone()  # type: ignore[union-attr]
        for name, spans in (("audio", [(0, 2), (2, 6)]), ("vision", [(0, 1), (1, 2)])):
            net = raven.nets[name]
            for word, (first, last) in enumerate(spans):
                steps = batch.values[name][:, first:last]
                h = net.lstm(steps, torch.ones(1, last - first, dtype=torch.bool))  # type: ignore[operator]
                gate = torch.sigmoid(net.gate(torch.cat([h, words[:, word]], dim=1)))  # type: ignore[operator]
                shift[:, word] += raven.shifts[name](gate * h)
        alpha = (0.5 * words.norm(dim=2) / shift.norm(dim=2)).clamp(max=1).unsqueeze(2)
        fused = raven.words(words + alpha * shift, batch.mask["text"])
        assert torch.allclose(raven(batch).features["fused"], fused, atol=1e-4)


def test_the_gradient_reaches_the_sound() -> None:
    raven = model().train()
    raven(clip()).score.sum().backward()
    assert raven.nets["audio"].lstm.weight_ih_l0.grad.abs().sum() > 0  # type: ignore[union-attr,operator]


def test_without_times_every_word_has_an_even_share() -> None:
    four, two, three = torch.tensor([4]), torch.tensor([2]), torch.tensor([3])
    here = within(four, two, torch.arange(2), 4)[0]
    assert here.tolist() == [[True, True, False, False], [False, False, True, True]]
    assert torch.equal(within(three, three, torch.arange(3), 3)[0], torch.eye(3, dtype=torch.bool))
    batch = clip()
    with torch.inference_mode():
        by_windows = model(spans="windows")(batch).score
        batch.times = {}
        assert torch.equal(model()(batch).score, by_windows)


def test_a_silent_word_and_clip_are_borne() -> None:
    batch = clip()
    batch.times["audio"] += 100
    with torch.inference_mode():
        assert model()(batch).score.isfinite().all()
    raven = model().train()
    raven(batch).score.sum().backward()


def test_times_that_are_none_are_refused() -> None:
    given = Given(9, frozenset("M"), {}, "", False, -3, 3)
    assert "spans=windows" in (Raven.unfit(given, {}) or "")
    assert Raven.unfit(given, {"spans": "windows"}) is None
    with pytest.raises(ConfigError, match="no text"):
        Raven({"audio": 5})
