"""Multimodal Transformer: each modality's steps attend to the steps of the others, at any rates.

Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language Sequences" (2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from msapipe.errors import ConfigError
from msapipe.fusion._attention import Dropout
from msapipe.fusion._base import Batch, FusionModel, Group, Output, Phase, Preset
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._crossmodal import Crossmodal
from msapipe.fusion._dropout import ByteDropout

MODALITIES = ("text", "audio", "vision")

Sizes = tuple[int, int, int]
Shares = tuple[float, float, float]


class Mult(FusionModel):
    """(B, T_m, D_m) per modality, unaligned, to scores (B,): a vector per modality (``_crossmodal.Crossmodal``), one
    residual block on the concatenated vectors (B, M (M - 1) width), and a linear score.

    Two modalities have two crossmodal transformers, one has none. Defaults are those of the MMSA collection for MOSI.
    width, heads, layers: of the crossmodal transformers; the self-attention ones are M - 1 times as wide and at least 3
    deep.   kernels: of the convolution on text, audio, vision.   attention_dropout: of attention to text, audio,
    vision; the first also for self-attention.   positions, causal: sine positions, and a mask over later steps.
    accumulate: batches per step.   clip: bound of the gradient norm.

    The paper's own code has positions and a causal mask, MMSA's only the mask (positions=false, causal=true). The
    default here is not causal, since a clip is scored as a whole, and pools by the mean over time, not the last step.
    Unlike both, padding is masked, keys and values share their norm and dropout, attention dropout is that of
    ``_attention.Attention``, gradients are clipped by norm and not by value, and an epoch's last batches count.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Tsai et al.",
        "year": 2019,
        "inputs": "text, audio, vision",
        "aligned": "no",
        "tasks": "M",
        "parameters": 2_571_551,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "MMSA, config_regression.json",
            {
                "width": 50,
                "heads": 10,
                "layers": 4,
                "kernels": (5, 5, 5),
                "attention_dropout": (0.3, 0.2, 0.0),
                "text_dropout": 0.5,
                "embed_dropout": 0.2,
                "relu_dropout": 0.0,
                "residual_dropout": 0.0,
                "output_dropout": 0.5,
                "clip": 0.6,
                "batch": 16,
                "lr": 0.002,
                "patience": 10,
            },
        ),
        "mosei": Preset(
            "MMSA, config_regression.json",
            {
                "width": 30,
                "heads": 6,
                "layers": 4,
                "kernels": (5, 1, 3),
                "attention_dropout": (0.4, 0.0, 0.0),
                "text_dropout": 0.3,
                "embed_dropout": 0.0,
                "relu_dropout": 0.0,
                "residual_dropout": 0.0,
                "output_dropout": 0.5,
                "clip": 0.6,
                "batch": 4,
                "lr": 5e-4,
                "patience": 40,
            },
        ),
        "sims": Preset(
            "MMSA, config_regression.json",
            {
                "width": 50,
                "heads": 10,
                "layers": 2,
                "kernels": (5, 1, 1),
                "attention_dropout": (0.2, 0.1, 0.0),
                "text_dropout": 0.3,
                "embed_dropout": 0.1,
                "relu_dropout": 0.0,
                "residual_dropout": 0.2,
                "output_dropout": 0.1,
                "clip": 0.6,
                "batch": 16,
                "lr": 0.002,
                "patience": 20,
            },
        ),
        "sims_v2": Preset(
            "MMSA, config_regression.json",
            {
                "width": 30,
                "heads": 6,
                "layers": 4,
                "kernels": (5, 3, 1),
                "attention_dropout": (0.1, 0.2, 0.0),
                "text_dropout": 0.5,
                "embed_dropout": 0.2,
                "relu_dropout": 0.1,
                "residual_dropout": 0.0,
                "output_dropout": 0.3,
                "clip": 1.0,
                "batch": 16,
                "lr": 5e-4,
                "patience": 20,
            },
        ),
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: int = 50,
        heads: int = 10,
        layers: int = 4,
        kernels: Sizes = (5, 5, 5),
        attention_dropout: Shares = (0.3, 0.2, 0.0),
        text_dropout: float = 0.5,
        embed_dropout: float = 0.2,
        relu_dropout: float = 0.0,
        residual_dropout: float = 0.0,
        output_dropout: float = 0.5,
        positions: bool = True,
        causal: bool = False,
        accumulate: int = 8,
        clip: float = 0.6,
    ) -> None:
        super().__init__(dims)
        check_dropouts(text_dropout=text_dropout, output_dropout=output_dropout)
        check_sizes(accumulate=accumulate)
        if clip <= 0:
            raise ConfigError(f"clip: found {clip}, expected more than 0")
        self.text_dropout, self.output_dropout = ByteDropout(text_dropout), output_dropout
        self.accumulate, self.clip = accumulate, clip
        self.crossmodal = Crossmodal(
            dims,
            width,
            heads,
            layers,
            kernels=dict(zip(MODALITIES, kernels, strict=True)),
            attention=dict(zip(MODALITIES, attention_dropout, strict=True)),
            memory_attention=attention_dropout[0],
            dropout=Dropout(embed=embed_dropout, hidden=relu_dropout, residual=residual_dropout),
            positions=positions,
            causal=causal,
        )
        size = len(dims) * self.crossmodal.width
        self.hidden = nn.Linear(size, size)
        self.back = nn.Linear(size, size)
        self.score = nn.Linear(size, 1)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.standardized(batch)
        values = dict(batch.values)
        if "text" in self.dims:
            values["text"] = self.text_dropout(values["text"])
        vectors = self.crossmodal(values, batch.mask)
        fused = torch.cat(list(vectors.values()), dim=1)
        hidden = functional.dropout(functional.relu(self.hidden(fused)), self.output_dropout, self.training)
        score: Tensor = self.score(self.back(hidden) + fused)[:, 0]
        return Output(score=score, features={"fused": fused, **vectors})

    def phases(self) -> tuple[Phase, ...]:
        """MMSA's settings for MOSI: a tenth of the rate after five epochs without improvement."""
        return (
            Phase(
                groups=(Group(lr=2e-3),),
                batch=16,
                accumulate=self.accumulate,
                clip=self.clip,
                schedule="plateau",
                patience=10,
            ),
        )
