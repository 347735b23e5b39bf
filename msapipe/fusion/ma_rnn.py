"""Attention over the modalities of a clip, then over the clips of its video: an unverified reconstruction.

Kim and Lee, "Multi-Attention Multimodal Sentiment Analysis" (2020), MA-RNN; some tables print MARNN. The layers follow
its abstract: the paper's sizes are unknown, and its number of parameters is not reproduced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from msapipe.fusion._attention import Attention
from msapipe.fusion._base import Group, Phase
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._context import Context, Target, attended
from msapipe.fusion._packed import packed


class MaRnn(Context):
    """Clips (B, D_m) as vectors to (B, M, units), with attention over modalities, to (B, units), in their videos
    through a GRU to (B, 2 units), with attention over the video, to scores (B,).

    The attended vector times the clip's state is concatenated with that state before the score.
    target, limit, context: see ``_context.Context``.   All sizes and rates are ours.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Kim, Lee",
        "year": 2020,
        "inputs": "means, videos",
        "aligned": "no",
        "tasks": "M",
        "parameters": 923_401,
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        units: int = 200,
        dropout: float = 0.3,
        target: Target = "label",
        limit: float = 3.0,
        context: bool = True,
        lr: float = 1e-3,
    ) -> None:
        super().__init__(dims)
        check_sizes(units=units)
        check_dropouts(dropout=dropout)
        self.lr = lr
        self.enter = nn.ModuleDict({name: nn.Linear(width, units) for name, width in dims.items()})
        self.between = Attention(units, 1)
        self.merge = nn.Linear(len(dims) * units, units)
        self.gru = nn.GRU(units, units, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(dropout)
        self.add_score(4 * units, target, limit, context)

    def in_context(self, clips: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """See Context."""
        tokens = torch.stack([torch.tanh(self.enter[name](clips[name])) for name in self.dims], dim=2).flatten(0, 1)
        met = self.between(tokens, torch.ones_like(tokens[..., 0], dtype=torch.bool))
        merged = torch.tanh(self.merge(met.flatten(1))).view(*mask.shape, -1)
        states, _ = packed(self.gru, self.drop(merged), mask)
        states = self.drop(states)
        return torch.cat([attended(states, states, mask), states], dim=2)

    def phases(self) -> tuple[Phase, ...]:
        """Ours."""
        return (Phase(groups=(Group(lr=self.lr),), batch=10, epochs=60, labels=(), monitor=self.monitor),)
