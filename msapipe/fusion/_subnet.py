"""Unimodal sub-networks, and the decision and task networks of models that fuse one vector per modality.

Zadeh et al., "Tensor Fusion Network for Multimodal Sentiment Analysis" (2017), section 4.1; layer sizes as in the MMSA
collection. Unlike MMSA, dropout also acts on the text's state, audio and vision are means over the valid steps only,
and a missing modality's vector is zero, so that only its constant 1 remains in a product.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from msapipe.fusion._base import Batch, masked_mean, present
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._dropout import DroppedLinear
from msapipe.fusion._lstm import LastState
from msapipe.fusion._norm import MaskedNorm


class ClipNet(nn.Module):
    """Three layers on the mean of a clip: (B, T, D), (B, T) to (B, hidden)."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = MaskedNorm(width)
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            *(nn.Linear(width, hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.ReLU()),
        )

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """The clip's vector, zero if the modality is missing."""
        there = present(mask).unsqueeze(1)
        normal = self.norm(masked_mean(values, mask).unsqueeze(1), there)
        vector: Tensor = self.layers(normal[:, 0])
        return vector.masked_fill(~there, 0.0)


class SequenceNet(nn.Module):
    """A linear layer on an LSTM's last state: (B, T, D), (B, T) to (B, out)."""

    def __init__(self, width: int, hidden: int, out: int, dropout: float) -> None:
        super().__init__()
        self.lstm = LastState(width, hidden)
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, out))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """The clip's vector, zero if the modality is missing."""
        vector: Tensor = self.layers(self.lstm(values, mask))
        return vector.masked_fill(~present(mask).unsqueeze(1), 0.0)


class Subnets(nn.Module):
    """One vector per modality: a standardised batch to {"audio": (B, h_a), "vision": (B, h_v), "text": (B, text_out)}.

    hidden: units of text, audio and vision.   widths: modality to the width of its vector; modalities not in ``dims``
    are left out.
    """

    def __init__(self, dims: Mapping[str, int], hidden: tuple[int, int, int], text_out: int, dropout: float) -> None:
        super().__init__()
        check_sizes(hidden=hidden, text_out=text_out)
        check_dropouts(dropout=dropout)
        text, audio, vision = hidden
        outs = {"audio": audio, "vision": vision, "text": text_out}
        self.widths = {name: out for name, out in outs.items() if name in dims}
        self.nets = nn.ModuleDict()
        for name, out in self.widths.items():
            width = dims[name]
            self.nets[name] = SequenceNet(width, text, out, dropout) if name == "text" else ClipNet(width, out, dropout)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The vectors, audio first."""
        return {name: net(batch.values[name], batch.mask[name]) for name, net in self.nets.items()}


class Decision(nn.Module):
    """Two hidden layers and a score: (B, D) to (B,) and the last hidden state (B, units)."""

    def __init__(self, width: int, units: int, dropout: float) -> None:
        super().__init__()
        check_sizes(units=units)
        check_dropouts(post_dropout=dropout)
        self.layers = nn.Sequential(
            *(DroppedLinear(width, units, dropout), nn.ReLU()),
            *(nn.Linear(units, units), nn.ReLU()),
        )
        self.score = nn.Linear(units, 1)

    def forward(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """Score and hidden state."""
        hidden = self.layers(fused)
        return self.score(hidden)[:, 0], hidden


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


def two_layers(width: int, units: int, out: int, dropout: float) -> nn.Sequential:
    """A hidden layer with ReLU and dropout, and a linear one: (..., width) to (..., out)."""
    return nn.Sequential(nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout), nn.Linear(units, out))


def joined(vectors: Mapping[str, Tensor]) -> Tensor:
    """Concatenate: (B, d_m) each to (B, sum of d_m)."""
    return torch.cat(list(vectors.values()), dim=1)
