"""Recurrent layers over clips of different lengths, without their padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from msapipe.fusion._aligned import lengths
from msapipe.fusion._base import present


def packed(rnn: nn.Module, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """A one-layer LSTM or GRU over each clip up to its last valid step.

    (B, T, D), (B, T) to states (B, T, H), zero after a clip's end, and the last state of each direction (B, H). A clip
    without a valid step uses its first step.
    """
    ends = lengths(mask).clamp(min=1).cpu()
    rows = pack_padded_sequence(values, ends, batch_first=True, enforce_sorted=False)
    found, last = rnn(rows)
    states, _ = pad_packed_sequence(found, batch_first=True, total_length=mask.shape[1])
    final: Tensor = last[0] if isinstance(last, tuple) else last
    return states, final.transpose(0, 1).flatten(1)


class TwoBiLstms(nn.Module):
    """A bidirectional LSTM, a norm, and another one: (B, T, D), (B, T) to (B, 4 hidden), zero if missing.

    The last states of both: forward of the first and second LSTM, then backward.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(2 * hidden)
        self.second = nn.LSTM(2 * hidden, hidden, batch_first=True, bidirectional=True)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """The clip's vector."""
        states, one = packed(self.first, values, mask)
        _, other = packed(self.second, self.norm(states), mask)
        forth, back = zip(one.chunk(2, dim=1), other.chunk(2, dim=1), strict=True)
        both = torch.cat([*forth, *back], dim=1)
        return both * present(mask).unsqueeze(1)
