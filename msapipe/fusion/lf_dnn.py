"""Late fusion by a deep network: one sub-network per modality, their concatenated vectors through three layers.

Williams et al., "DNN Multimodal Fusion Techniques for Predicting Video Sentiment" (2018); sub-networks and sizes of the
MMSA collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msapipe.fusion._base import Batch, FusionModel, Group, Output, Phase, Preset
from msapipe.fusion._subnet import Decision, Subnets, joined


class LfDnn(FusionModel):
    """(B, T_m, D_m) per modality to vectors (B, h_a), (B, h_v), (B, text_out), concatenated to scores (B,).

    hidden: units of text, audio and vision.   text_out: columns of the text's vector.   units: of the layers after
    fusion.   Departures from MMSA's code: see ``_subnet``; also, weight decay spares biases. On five folds of CMU-MOSI,
    none of them makes a difference (docs/results.md).
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Williams et al.",
        "year": 2018,
        "inputs": "text, audio and vision as means",
        "aligned": "no",
        "tasks": "M",
        "parameters": 597_171,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (128, 16, 128),
                "text_out": 256,
                "units": 128,
                "dropout": 0.2,
                "post_dropout": 0.2,
                "batch": 128,
                "lr": 0.001,
                "weight_decay": 0.01,
            },
        ),
        "mosei": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (128, 32, 128),
                "text_out": 128,
                "units": 128,
                "dropout": 0.2,
                "post_dropout": 0.2,
                "batch": 64,
                "lr": 0.002,
                "weight_decay": 0.001,
            },
        ),
        "sims": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (128, 32, 128),
                "text_out": 256,
                "units": 32,
                "dropout": 0.3,
                "post_dropout": 0.5,
                "batch": 128,
                "lr": 0.005,
                "weight_decay": 0.005,
            },
        ),
        "sims_v2": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (64, 32, 64),
                "text_out": 256,
                "units": 32,
                "dropout": 0.4,
                "post_dropout": 0.4,
                "batch": 128,
                "lr": 0.005,
                "weight_decay": 0.0,
            },
        ),
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: tuple[int, int, int] = (128, 16, 128),
        text_out: int = 256,
        units: int = 128,
        dropout: float = 0.2,
        post_dropout: float = 0.2,
    ) -> None:
        super().__init__(dims)
        self.subnets = Subnets(dims, hidden, text_out, dropout)
        self.decision = Decision(sum(self.subnets.widths.values()), units, post_dropout)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        vectors = self.subnets(self.standardized(batch))
        score, hidden = self.decision(joined(vectors))
        return Output(score=score, features={"fused": hidden, **vectors})

    def phases(self) -> tuple[Phase, ...]:
        """MMSA's settings for MOSI."""
        return (Phase(groups=(Group(lr=1e-3, weight_decay=1e-2),), batch=128),)
