"""Each modality's mean over time, weighed by a gate of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from msapipe.fusion._base import Batch, FusionModel, Group, Output, Phase, masked_mean


class GatedMean(FusionModel):
    """(B, T_m, D_m) per modality to means, to d columns each, summed with softmax gates, to scores (B,).

    d: columns of every modality.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "inputs": "text, audio, vision as means",
        "aligned": "no",
        "tasks": "M",
        "parameters": 51_204,  # with text, audio and vision of 768, 5 and 20 columns
    }

    def __init__(self, dims: Mapping[str, int], *, d: int = 64) -> None:
        super().__init__(dims)
        self.project = nn.ModuleDict({name: nn.Linear(width, d) for name, width in dims.items()})
        self.gate = nn.ModuleDict({name: nn.Linear(d, 1) for name in dims})
        self.score = nn.Linear(d, 1)

    def forward(self, batch: Batch) -> Output:
        """Score a batch; a missing modality has no share."""
        batch = self.standardized(batch)
        means = [
            torch.relu(self.project[name](masked_mean(batch.values[name], batch.mask[name]))) for name in self.dims
        ]
        there = torch.stack([batch.mask[name].any(dim=1) for name in self.dims], dim=1)
        gates = torch.cat([self.gate[name](mean) for name, mean in zip(self.dims, means, strict=True)], dim=1)
        share = torch.softmax(gates.masked_fill(~there, -1e9), dim=1)
        fused = (torch.stack(means, dim=1) * share[:, :, None]).sum(1)
        return Output(score=self.score(fused)[:, 0], diagnostics={"share": share})

    def phases(self) -> tuple[Phase, ...]:
        """All of it at once."""
        return (Phase(groups=(Group(lr=1e-3),), epochs=30, batch=32),)
