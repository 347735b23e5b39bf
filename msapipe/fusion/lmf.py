"""Low-rank Multimodal Fusion: the modalities' outer product with a low-rank weight tensor.

Liu et al., "Efficient Low-rank Multimodal Fusion with Modality-Specific Factors" (2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, FusionModel, Group, Output, Phase, Preset
from msapipe.fusion._checks import check_sizes
from msapipe.fusion._subnet import Subnets


class Lmf(FusionModel):
    """(B, T_m, D_m) per modality to vectors h_m, to one product per rank (B, rank), to scores (B,).

    score = sum over r of w_r times the product over m of ([1; h_m] . W_m^r), plus a bias; fewer modalities give a
    product of fewer factors.
    hidden: units of text, audio and vision; the text's vector has half of its units.   factor_lr: learning rate of the
    factors.   lr: of the rest.

    ``fusion_weights`` and ``fusion_bias`` are trained; MMSA's code has them in no optimiser group. As there, no dropout
    follows fusion. Other departures: see ``_subnet``.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Liu et al.",
        "year": 2018,
        "inputs": "text, audio and vision as means",
        "aligned": "no",
        "tasks": "M",
        "parameters": 505_071,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (128, 16, 128),
                "rank": 3,
                "dropout": 0.3,
                "batch": 64,
                "lr": 0.001,
                "factor_lr": 0.001,
                "weight_decay": 0.005,
            },
        ),
        "mosei": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (128, 16, 128),
                "rank": 4,
                "dropout": 0.2,
                "batch": 32,
                "lr": 0.001,
                "factor_lr": 0.001,
                "weight_decay": 0.001,
            },
        ),
        "sims": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (64, 16, 64),
                "rank": 4,
                "dropout": 0.2,
                "batch": 64,
                "lr": 0.002,
                "factor_lr": 5e-4,
                "weight_decay": 0.005,
            },
        ),
        "sims_v2": Preset(
            "MMSA, config_regression.json; one dropout for its 0.3 and 0.5",
            {
                "hidden": (64, 32, 64),
                "rank": 4,
                "dropout": 0.3,
                "batch": 32,
                "lr": 0.002,
                "factor_lr": 5e-4,
                "weight_decay": 1e-4,
            },
        ),
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: tuple[int, int, int] = (128, 16, 128),
        rank: int = 3,
        dropout: float = 0.3,
        lr: float = 1e-3,
        factor_lr: float = 1e-3,
    ) -> None:
        super().__init__(dims)
        check_sizes(rank=rank)
        if hidden[0] < 2:
            raise ConfigError(f"hidden: found {hidden}, expected 2 or more for text, whose vector has half of them")
        if min(lr, factor_lr) <= 0:
            raise ConfigError(f"lr, factor_lr: found {lr} and {factor_lr}, expected more than 0")
        self.subnets = Subnets(dims, hidden, hidden[0] // 2, dropout)
        self.factors = nn.ParameterDict(
            {name: nn.Parameter(torch.empty(rank, width + 1)) for name, width in self.subnets.widths.items()}
        )
        self.fusion_weights = nn.Parameter(torch.empty(1, rank))
        self.fusion_bias = nn.Parameter(torch.zeros(1))
        for weight in (*self.factors.values(), self.fusion_weights):
            nn.init.xavier_normal_(weight)
        self._rates = lr, factor_lr

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        vectors = self.subnets(self.standardized(batch))
        products = torch.ones_like(self.fusion_weights)
        for name, vector in vectors.items():
            factor = self.factors[name]
            products = products * (factor[:, 0] + vector @ factor[:, 1:].T)
        score = (products * self.fusion_weights).sum(dim=1) + self.fusion_bias
        return Output(score=score, features={"fused": products, **vectors})

    def phases(self) -> tuple[Phase, ...]:
        """MMSA's settings for MOSI."""
        lr, factor_lr = self._rates
        groups = (
            Group(lr=lr, weight_decay=5e-3, name="other"),
            Group(("factors.",), lr=factor_lr, weight_decay=5e-3, name="factors"),
        )
        return (Phase(groups=groups, batch=64),)
