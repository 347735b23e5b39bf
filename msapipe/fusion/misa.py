"""Each modality in two subspaces: one shared by all, and a private one that overlaps with no other.

Hazarika, Zimmermann and Poria, "MISA: Modality-Invariant and -Specific Representations for Multimodal Sentiment
Analysis" (2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._attention import Dropout, Layer
from msapipe.fusion._base import Batch, Group, Output, Phase, Preset, squared_error
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._distances import cmd, overlap
from msapipe.fusion._packed import TwoBiLstms
from msapipe.fusion._text_states import TextFusion, TextPool, states_of

# Order of the tokens; heads and inner dropout of their attention in the paper's code.
ORDER = ("text", "vision", "audio")
HEADS, INNER_DROPOUT = 2, 0.1


class Misa(TextFusion):
    """(B, T_m, D_m) per modality to u_m (B, d), to a private and a shared part each, in [0, 1], to scores (B,).

    Text is the mean of a language model's states, audio and vision are two bidirectional LSTMs as wide as their input.
    The 2 M parts attend to each other once and are concatenated before the score.
    d: columns of every part.   feed: units of the layer after the attention.   difference, similarity,
    reconstruction: loss weights: private parts should not overlap, shared parts should be alike
    (``_distances.cmd``), and the sum of a modality's parts should reconstruct u_m.   clip: bound of gradient values.
    language_model, language_config: see ``_text_states``.   lr, decay: of all parameters.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Hazarika, Zimmermann, Poria",
        "year": 2020,
        "inputs": "tokens, audio, vision",
        "aligned": "no",
        "tasks": "M",
        "parameters": 1_138_033,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "MMSA, config_regression.json",
            {
                "d": 128,
                "dropout": 0.2,
                "difference": 0.1,
                "similarity": 0.3,
                "reconstruction": 1.0,
                "clip": 0.8,
                "batch": 16,
            },
        ),
        "mosei": Preset(
            "MMSA, config_regression.json",
            {
                "d": 128,
                "dropout": 0.5,
                "difference": 0.3,
                "similarity": 0.8,
                "reconstruction": 1.0,
                "clip": 0.8,
                "decay": 5e-5,
                "batch": 64,
            },
        ),
        "sims": Preset(
            "MMSA, config_regression.json",
            {
                "d": 128,
                "dropout": 0.0,
                "difference": 0.3,
                "similarity": 1.0,
                "reconstruction": 0.8,
                "clip": 1.0,
                "decay": 5e-5,
                "batch": 64,
            },
        ),
        "sims_v2": Preset(
            "MMSA, config_regression.json",
            {
                "d": 64,
                "dropout": 0.5,
                "difference": 0.5,
                "similarity": 1.0,
                "reconstruction": 0.5,
                "clip": 0.8,
                "batch": 16,
            },
        ),
    }
    # The paper's code has a discriminator used in no loss, and a norm for text that is unused with a BERT.
    idle = ("discriminator.", "text_norm.")

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        d: int = 128,
        feed: int = 2048,
        dropout: float = 0.2,
        difference: float = 0.1,
        similarity: float = 0.3,
        reconstruction: float = 1.0,
        language_model: str = "",
        language_config: str = "",
        text_pool: TextPool = "mean",
        lr: float = 1e-4,
        decay: float = 0.0,
        clip: float = 0.8,
        accumulate: int = 2,
    ) -> None:
        super().__init__(dims)
        check_sizes(d=d, feed=feed, accumulate=accumulate)
        check_dropouts(dropout=dropout)
        if clip <= 0:
            raise ConfigError(f"clip: found {clip}, expected more than 0")
        self.lr, self.decay, self.clip, self.accumulate = lr, decay, clip, accumulate
        self.weights = {"difference": difference, "similarity": similarity, "reconstruction": reconstruction}
        self.names = tuple(name for name in ORDER if name in dims)
        text = states_of(dims, language_model, language_config, "misa", text_pool)
        self.read_text(text)
        self.nets = nn.ModuleDict({name: TwoBiLstms(dims[name], dims[name]) for name in self.names if name != "text"})
        widths = {name: text.width if name == "text" and text else 4 * dims[name] for name in self.names}
        self.project = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(width, d), nn.ReLU(), nn.LayerNorm(d)) for name, width in widths.items()}
        )
        self.private = nn.ModuleDict({name: nn.Sequential(nn.Linear(d, d), nn.Sigmoid()) for name in self.names})
        self.shared = nn.Sequential(nn.Linear(d, d), nn.Sigmoid())
        self.rebuild = nn.ModuleDict({name: nn.Linear(d, d) for name in self.names})
        self.discriminator = nn.Linear(d, 4)
        self.text_norm = nn.LayerNorm(2 * dims["text"]) if "text" in dims else nn.Identity()
        shares = Dropout(attention=INNER_DROPOUT, hidden=INNER_DROPOUT, residual=INNER_DROPOUT)
        self.attend = Layer(d, HEADS, feed, norm="post", dropout=shares)
        parts = 2 * len(self.names) * d
        self.fusion = nn.Sequential(nn.Linear(parts, 3 * d), nn.Dropout(dropout), nn.ReLU(), nn.Linear(3 * d, 1))

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.seen(batch)
        whole = {name: self.project[name](self._vector(name, batch)) for name in self.names}
        private = {name: self.private[name](vector) for name, vector in whole.items()}
        shared = {name: self.shared(vector) for name, vector in whole.items()}
        parts = torch.stack([*private.values(), *shared.values()], dim=1)
        fused = self.attend(parts, torch.ones_like(parts[..., 0], dtype=torch.bool)).flatten(1)
        return Output(
            score=self.fusion(fused)[:, 0],
            features={
                "fused": fused,
                **{f"private_{name}": part for name, part in private.items()},
                **{f"shared_{name}": part for name, part in shared.items()},
            },
            losses=self._losses(whole, private, shared) if self.training else {},
        )

    def _vector(self, name: str, batch: Batch) -> Tensor:
        """A modality as one vector (B, width)."""
        if name == "text":
            return self.text.pooled(*self.text(batch))  # type: ignore[no-any-return]
        return self.nets[name](batch.values[name], batch.mask[name])  # type: ignore[no-any-return]

    def _losses(
        self, whole: Mapping[str, Tensor], private: Mapping[str, Tensor], shared: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The losses of difference, similarity and reconstruction: () each."""
        pairs = list(combinations(self.names, 2))
        apart = [overlap(private[name], shared[name]) for name in self.names]
        apart += [overlap(private[one], private[other]) for one, other in pairs]
        alike = [cmd(shared[one], shared[other]) for one, other in pairs]
        built = [
            (self.rebuild[name](private[name] + shared[name]) - whole[name]).square().mean() for name in self.names
        ]
        return {
            "difference": torch.stack(apart).sum(),
            "similarity": torch.stack(alike).mean() if alike else whole[self.names[0]].new_zeros(()),
            "reconstruction": torch.stack(built).mean(),
        }

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean squared error, plus in training the weighted losses of the parts."""
        total = squared_error(output.score, batch.labels["M"])
        for name, part in output.losses.items():
            total = total + self.weights[name] * part
        return total

    def phases(self) -> tuple[Phase, ...]:
        """MMSA's settings for MOSI."""
        groups = (Group(lr=self.lr, weight_decay=self.decay),)
        return (Phase(groups=groups, batch=16, accumulate=self.accumulate, clip=self.clip, clip_by="value"),)
