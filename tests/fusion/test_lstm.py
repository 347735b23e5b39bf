from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from msapipe.fusion._lstm import LastState

# Steps of each clip: of one length, of many, one step only, and one clip.
LENGTHS = ([4, 4, 4], [2, 7, 1, 5, 7], [1, 1], [6])


def gradients(layer: nn.LSTM, values: Tensor, last: Tensor) -> list[Tensor]:
    wanted = [values, *layer.parameters()]
    return list(torch.autograd.grad((last * torch.arange(1.0, last.numel() + 1).view_as(last)).sum(), wanted))


@pytest.mark.parametrize("lengths", LENGTHS)
def test_states_and_gradients_are_those_of_torch(lengths: list[int]) -> None:
    torch.manual_seed(0)
    ours, theirs = LastState(5, 3).double(), nn.LSTM(5, 3, batch_first=True).double()
    theirs.load_state_dict(ours.state_dict())
    steps = torch.tensor(lengths)
    values = torch.randn(len(lengths), int(steps.max()) + 2, 5, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(values.shape[1]) < steps.unsqueeze(1)
    packed = pack_padded_sequence(values, steps, batch_first=True, enforce_sorted=False)
    last, expected = ours(values, mask), theirs(packed)[1][0][0]
    assert torch.allclose(last, expected, atol=1e-12)
    pairs = zip(gradients(ours, values, last), gradients(theirs, values, expected), strict=True)
    assert all(torch.allclose(mine, other, atol=1e-12) for mine, other in pairs)


def test_a_clip_without_a_valid_step_has_the_state_after_its_first() -> None:
    layer = LastState(2, 3)
    values = torch.randn(2, 4, 2)
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    with torch.inference_mode():
        last = layer(values, mask)
        alone = layer(values[1:, :1], torch.ones(1, 1, dtype=torch.bool))
    assert torch.allclose(last[1:], alone)
