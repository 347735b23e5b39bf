"""Simple fusion: each modality's mean over time, concatenated, through a decision block.

The SF row of Hai, Liu and Elhilali, "Boosting Modality Representation with Pre-trained Models and Multi-task Training
for Multimodal Sentiment Analysis" (2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, FusionModel, Group, Output, Phase, masked_mean
from msapipe.fusion._checks import check_dropouts


class Sf(FusionModel):
    """(B, T_m, D_m) per modality to means (B, D_m), concatenated (B, sum of D_m), to scores (B,).

    The decision block is Linear, ReLU, dropout, Linear with ``units`` hidden units (the paper says only "fully
    connected"); with ``units=0`` it is one linear layer, which cannot model interactions of modalities.
    The paper's extractors are the pipeline's stages; the model is trained as in its second step, with these frozen.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "inputs": "text, audio, vision as means",
        "aligned": "no",
        "tasks": "M",
        "parameters": 101_761,
    }

    def __init__(self, dims: Mapping[str, int], *, units: int = 128, dropout: float = 0.1) -> None:
        super().__init__(dims)
        if units < 0:
            raise ConfigError(f"units: found {units}, expected 0 or more")
        check_dropouts(dropout=dropout)
        width = sum(dims.values())
        hidden = (nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)) if units else ()
        self.decision = nn.Sequential(*hidden, nn.Linear(units or width, 1))

    def forward(self, batch: Batch) -> Output:
        """Score a batch; a missing modality is replaced by its mean over the training split."""
        batch = self.standardized(batch)
        fused = torch.cat([masked_mean(batch.values[name], batch.mask[name]) for name in self.dims], dim=1)
        return Output(score=self.decision(fused)[:, 0], features={"fused": fused})

    def phases(self) -> tuple[Phase, ...]:
        """The paper's second step; it does not state batch, epochs and patience."""
        return (Phase(groups=(Group(lr=1e-4),), epochs=30, batch=64),)
