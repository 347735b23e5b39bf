"""A task's layers on a vector, for models that score the clip and each modality."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from msapipe.fusion._checks import check_dropouts, check_sizes


class Said(NamedTuple):
    """A task's score (B,) and its two hidden states, each (B, units)."""

    score: Tensor
    first: Tensor
    second: Tensor


class TaskHead(nn.Module):
    """Dropout, two layers of ``units`` and a score: (B, width) to Said.

    relu: whether both layers are followed by ReLU.
    """

    def __init__(self, width: int, units: int, dropout: float, relu: bool = True) -> None:
        super().__init__()
        check_sizes(units=units)
        check_dropouts(dropout=dropout)
        self.drop = nn.Dropout(dropout)
        self.first, self.second = nn.Linear(width, units), nn.Linear(units, units)
        self.score = nn.Linear(units, 1)
        self.act = nn.ReLU() if relu else nn.Identity()

    def forward(self, vector: Tensor) -> Said:
        """Score each row."""
        first = self.act(self.first(self.drop(vector)))
        second = self.act(self.second(first))
        return Said(self.score(second)[:, 0], first, second)
