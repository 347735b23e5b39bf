"""Pairwise attention of modalities over the clips of a video.

Ghosal et al., "Contextual Inter-modal Attention for Multi-modal Sentiment Analysis" (2018), multi-modal multi-utterance
bimodal attention. MMMU-BA; some tables print MMUU-BA.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor, nn

from msapipe.fusion._base import Group, Phase, Preset
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._context import Context, Target, attended
from msapipe.fusion._packed import packed

# The pairs are vision and text, audio and vision, text and audio.
ORDER = ("vision", "text", "audio")


class MmmuBa(Context):
    """Clips (B, D_m) as vectors, in their videos, to (B, units) each, through pairwise attention to scores (B,).

    In a pair X, Y a clip attends over the clips of its video: softmax(X Y^T) Y times X, and vice versa; all pairs and
    the modalities themselves are concatenated before the score.
    hidden: of each modality's GRU, per direction.   gru_dropout, dropout: before and after the layer that follows it.
    target "sign" is the paper's.   target, limit, context: see ``_context.Context``.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Ghosal et al.",
        "year": 2018,
        "inputs": "means, videos",
        "aligned": "no",
        "tasks": "M",
        "parameters": 3_239_401,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset("Ghosal et al., section 4", {"target": "sign", "batch": 32, "epochs": 15}),
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: int = 300,
        units: int = 100,
        gru_dropout: float = 0.5,
        dropout: float = 0.7,
        target: Target = "label",
        limit: float = 3.0,
        context: bool = True,
        lr: float = 1e-3,
    ) -> None:
        super().__init__(dims)
        check_sizes(hidden=hidden, units=units)
        check_dropouts(gru_dropout=gru_dropout, dropout=dropout)
        self.lr = lr
        self.names = tuple(name for name in ORDER if name in dims)
        self.enter = nn.Dropout(gru_dropout)
        self.drop = nn.Dropout(dropout)
        self.grus = nn.ModuleDict(
            {name: nn.GRU(dims[name], hidden, batch_first=True, bidirectional=True) for name in self.names}
        )
        self.dense = nn.ModuleDict({name: nn.Linear(2 * hidden, units) for name in self.names})
        count = len(self.names)
        self.add_score(units * (count + count * (count - 1)), target, limit, context)

    def in_context(self, clips: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """See Context."""
        states = {}
        for name in self.names:
            found, _ = packed(self.grus[name], self.enter(clips[name]), mask)
            states[name] = self.drop(torch.tanh(self.dense[name](self.drop(found))))
        pairs = [
            attended(states[one], states[other], mask)
            for first, second in combinations(self.names, 2)
            for one, other in ((first, second), (second, first))
        ]
        return torch.cat([*pairs, *states.values()], dim=2)

    def phases(self) -> tuple[Phase, ...]:
        """The paper's batch of 32 videos; the paper trains for 15 epochs and selects the epoch on the test set."""
        return (Phase(groups=(Group(lr=self.lr),), batch=32, epochs=60, labels=(), monitor=self.monitor),)
