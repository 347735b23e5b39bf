from __future__ import annotations

from typing import Literal

import pytest
import torch

from msapipe.fusion._norm import MaskedNorm


@pytest.mark.parametrize("per", ["column", "step"])
def test_without_padding_it_is_torchs_batch_norm(per: Literal["column", "step"]) -> None:
    torch.manual_seed(0)
    ours, theirs = MaskedNorm(5, per), torch.nn.BatchNorm1d(5)
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.copy_(torch.rand(5))
            other.copy_(mine)
    mask = torch.ones(4, 5, dtype=torch.bool)
    for training in (True, True, False):
        values = 3 * torch.randn(4, 5, 5) + 1
        expected = theirs.train(training)(values if per == "step" else values.transpose(1, 2))
        expected = expected if per == "step" else expected.transpose(1, 2)
        assert torch.allclose(ours.train(training)(values, mask), expected, atol=1e-5)
    assert torch.allclose(ours.running_mean, theirs.running_mean, atol=1e-6)
    assert torch.allclose(ours.running_var, theirs.running_var, atol=1e-6)


@pytest.mark.parametrize("per", ["column", "step"])
def test_padding_takes_no_part(per: Literal["column", "step"]) -> None:
    torch.manual_seed(0)
    values, mask = torch.randn(3, 4, 4), torch.tensor([[True] * 4, [True, True, False, False], [False] * 4])
    first, second = MaskedNorm(4, per), MaskedNorm(4, per)
    expected = first(values, mask)
    found = second(values.masked_fill(~mask.unsqueeze(2), 1e4), mask)
    assert torch.equal(found, expected)
    assert torch.equal(second.running_var, first.running_var)
    assert not expected[~mask].any()
    if per == "column":
        assert torch.allclose(expected[mask].mean(0), torch.zeros(4), atol=1e-6)


def test_too_little_to_learn_from_leaves_the_running_statistics() -> None:
    norm = MaskedNorm(2)
    values = torch.tensor([[[3.0, 5.0]], [[7.0, 7.0]]])
    out = norm(values, torch.tensor([[True], [False]]))
    assert out[0, 0].tolist() == pytest.approx([3.0, 5.0], abs=1e-4)
    assert norm.running_mean.tolist() == [0.0, 0.0]
    assert not norm(values, torch.zeros(2, 1, dtype=torch.bool)).any()


def test_steps_that_no_clip_has_are_left_alone() -> None:
    norm = MaskedNorm(3, "step")
    norm(torch.full((2, 3, 2), 4.0), torch.tensor([[True, True, False], [True, False, False]]))
    assert norm.running_mean.tolist() == pytest.approx([0.4, 0.4, 0.0])
