"""Early fusion: the modalities are concatenated at every step and go through one LSTM.

Williams et al., "Recognizing Emotions in Video Using Multimodal DNN Feature Fusion" (2018); layers and sizes of the
MMSA collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import nn

from msapipe.fusion._aligned import last_step, one_grid
from msapipe.fusion._base import Batch, FusionModel, Group, Output, Phase, Preset
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._norm import MaskedNorm


class EfLstm(FusionModel):
    """(B, T_m, D_m) per modality, on one grid (B, N, sum of D_m) by ``_aligned.one_grid``, to scores (B,).

    norm: "step" is MMSA's, a batch norm with a mean, standard deviation, weight and bias for each of ``steps`` time
    steps; a longer clip is averaged into ``steps`` windows. Unlike MMSA, padding is masked, and the last state is that
    of a valid step. "column" normalises columns instead and accepts any length.
    hidden: units.   layers: number of LSTM layers.   dropout: between these and around the linear layer after them.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Williams et al.",
        "year": 2018,
        "inputs": "text, audio, vision",
        "aligned": "one grid",
        "tasks": "M",
        "parameters": 885_605,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "MMSA, config_regression.json",
            {"hidden": 128, "layers": 4, "dropout": 0.5, "batch": 32, "lr": 0.001, "weight_decay": 0.005},
        ),
        "mosei": Preset(
            "MMSA, config_regression.json",
            {"hidden": 256, "layers": 2, "dropout": 0.4, "batch": 128, "lr": 0.005, "weight_decay": 1e-4},
        ),
        "sims": Preset(
            "MMSA, config_regression.json",
            {"hidden": 32, "layers": 3, "dropout": 0.5, "batch": 128, "lr": 5e-4, "weight_decay": 0.001},
        ),
        "sims_v2": Preset(
            "MMSA, config_regression.json",
            {"hidden": 128, "layers": 3, "dropout": 0.2, "batch": 32, "lr": 5e-4, "weight_decay": 0.0},
        ),
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: int = 128,
        layers: int = 4,
        dropout: float = 0.5,
        norm: Literal["step", "column"] = "step",
        steps: int = 50,
    ) -> None:
        super().__init__(dims)
        check_sizes(hidden=hidden, layers=layers, steps=steps)
        check_dropouts(dropout=dropout)
        width = sum(dims.values())
        self.most = steps if norm == "step" else None
        self.norm = MaskedNorm(width if self.most is None else steps, norm)
        self.lstm = nn.LSTM(width, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.hidden = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU())
        self.score = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, 1))

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        values, mask = one_grid(self.standardized(batch), list(self.dims), self.most)
        states, _ = self.lstm(self.norm(torch.cat(list(values.values()), dim=2), mask))
        fused = self.hidden(last_step(states, mask))
        return Output(score=self.score(fused)[:, 0], features={"fused": fused})

    def phases(self) -> tuple[Phase, ...]:
        """MMSA's settings for MOSI."""
        return (Phase(groups=(Group(lr=1e-3, weight_decay=5e-3),), batch=32),)
