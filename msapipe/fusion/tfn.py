"""Tensor Fusion Network: the outer product of the modalities' vectors, each prefixed by a constant 1.

Zadeh et al., "Tensor Fusion Network for Multimodal Sentiment Analysis" (2017).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, FusionModel, Group, Output, Phase, Preset
from msapipe.fusion._subnet import Decision, Subnets


class Tfn(FusionModel):
    """(B, T_m, D_m) per modality to vectors h_m, to (B, (h_a + 1)(h_v + 1)(text_out + 1)), to scores (B,).

    The ones keep the unimodal and bimodal terms in the product; fewer modalities give a product of fewer factors.
    hidden: units of text, audio and vision.   text_out: columns of the text's vector.   units: of the layers
    after fusion.   output_range: a sigmoid bounds scores to it (MMSA uses [-3, 3] on every data set; use [-1, 1]
    if labels are in it). The feature "fused" is the last hidden state (B, units), not the product, which has 140,481
    entries per clip. Departures from MMSA's sub-networks: see ``_subnet``.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Zadeh et al.",
        "year": 2017,
        "inputs": "text, audio and vision as means",
        "aligned": "no",
        "tasks": "M",
        "parameters": 9_497_043,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (128, 32, 128),
                "text_out": 32,
                "units": 64,
                "dropout": 0.3,
                "post_dropout": 0.5,
                "output_range": (-3.0, 3.0),
                "batch": 32,
                "lr": 0.001,
            },
        ),
        "mosei": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (128, 16, 128),
                "text_out": 128,
                "units": 16,
                "dropout": 0.4,
                "post_dropout": 0.4,
                "output_range": (-3.0, 3.0),
                "batch": 128,
                "lr": 0.005,
            },
        ),
        "sims": Preset(
            "MMSA, config_regression.json; range of the labels",
            {
                "hidden": (128, 32, 128),
                "text_out": 256,
                "units": 32,
                "dropout": 0.4,
                "post_dropout": 0.4,
                "output_range": (-1.0, 1.0),
                "batch": 32,
                "lr": 5e-4,
            },
        ),
        "sims_v2": Preset(
            "MMSA, config_regression.json; range of the labels",
            {
                "hidden": (128, 32, 128),
                "text_out": 128,
                "units": 32,
                "dropout": 0.3,
                "post_dropout": 0.5,
                "output_range": (-1.0, 1.0),
                "batch": 128,
                "lr": 0.002,
            },
        ),
    }
    low: Tensor
    span: Tensor

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: tuple[int, int, int] = (128, 32, 128),
        text_out: int = 32,
        units: int = 64,
        dropout: float = 0.3,
        post_dropout: float = 0.5,
        output_range: tuple[float, float] = (-3.0, 3.0),
    ) -> None:
        super().__init__(dims)
        low, high = output_range
        if not low < high:
            raise ConfigError(f"output_range: found {low} to {high}, expected the smaller number first")
        self.register_buffer("low", torch.tensor(low))
        self.register_buffer("span", torch.tensor(high - low))
        self.subnets = Subnets(dims, hidden, text_out, dropout)
        entries = prod(width + 1 for width in self.subnets.widths.values())
        self.decision = Decision(entries, units, post_dropout)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        vectors = self.subnets(self.standardized(batch))
        raw, last = self.decision(outer(vectors.values()))
        return Output(score=torch.sigmoid(raw) * self.span + self.low, features={"fused": last, **vectors})

    def phases(self) -> tuple[Phase, ...]:
        """MMSA's settings for MOSI."""
        return (Phase(groups=(Group(lr=1e-3),), batch=32),)


def outer(vectors: Iterable[Tensor]) -> Tensor:
    """Outer product of [1; x] of all vectors, last one varying fastest: (B, d_m) each to (B, product of d_m+1)."""
    with_one = (nn.functional.pad(vector, (1, 0), value=1.0) for vector in vectors)
    return reduce(lambda left, right: (left.unsqueeze(2) * right.unsqueeze(1)).flatten(1), with_one)
