"""One LSTM per modality over the clips of a video, and another one over their concatenated states.

Poria et al., "Context-Dependent Sentiment Analysis in User-Generated Videos" (2017), the hierarchical bc-LSTM; and the
deep fusion of Nojavanasghari et al., "Deep Multimodal Fusion for Persuasiveness Prediction" (2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from msapipe.fusion._base import Batch, Given, Group, Output, Phase
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._context import Context, Target
from msapipe.fusion._packed import packed


class BcLstm(Context):
    """Clips (B, D_m) as vectors, in their videos, to states of one LSTM each (B, hidden), to those of a joint
    bidirectional one, to scores (B,).

    The modalities are trained first, each with its own score; then they are frozen, and the layers above are trained.
    fusion "context": as above.   "deep": the papers' DF, without videos: two layers to one score each, and two layers
    on the concatenated scores.   target, limit, context: see ``_context.Context``.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Poria et al.",
        "year": 2017,
        "inputs": "means, videos",
        "aligned": "no",
        "tasks": "M",
        "parameters": 761_704,
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: int = 100,
        fusion: Literal["context", "deep"] = "context",
        dropout: float = 0.3,
        target: Target = "label",
        limit: float = 3.0,
        context: bool = True,
        lr: float = 1e-3,
    ) -> None:
        super().__init__(dims)
        check_sizes(hidden=hidden)
        check_dropouts(dropout=dropout)
        self.lr, self.deep = lr, fusion == "deep"
        self.nets: nn.ModuleDict = nn.ModuleDict()
        for name, width in dims.items():
            self.nets[name] = _two_layers(width, hidden) if self.deep else nn.LSTM(width, hidden, batch_first=True)
        self.drop = nn.Dropout(dropout)
        outs = 2 if target == "sign" else 1
        self.own = nn.ModuleDict({name: nn.Linear(hidden, outs) for name in dims})
        self.upper = (
            _two_layers(len(dims), hidden)
            if self.deep
            else nn.LSTM(len(dims) * hidden, hidden, batch_first=True, bidirectional=True)
        )
        self.add_score(hidden if self.deep else 2 * hidden, target, limit, context and not self.deep)

    def in_context(self, clips: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """The joint layers' output, followed by the modalities' own scores: (V, U, width + M)."""
        states = {name: self._states(name, part, mask) for name, part in clips.items()}
        own = torch.stack([self.said(self.own[n](self.drop(s)).flatten(0, 1)) for n, s in states.items()], dim=1)
        own = own.view(*mask.shape, -1)
        if self.deep:
            return torch.cat([self.upper(own), own], dim=2)
        above, _ = packed(self.upper, self.drop(torch.cat(list(states.values()), dim=2)), mask)
        return torch.cat([self.drop(above), own], dim=2)

    def _states(self, name: str, clips: Tensor, mask: Tensor) -> Tensor:
        return self.nets[name](clips) if self.deep else packed(self.nets[name], clips, mask)[0]

    def raw_of(self, found: Tensor) -> Tensor:
        """Only the first part of ``in_context``'s result is scored."""
        return super().raw_of(found[:, : -len(self.dims)])

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        output = super().forward(batch)
        fused = output.features["fused"]
        cut = fused.shape[1] - len(self.dims)
        own = dict(zip(self.dims, fused[:, cut:].unbind(1), strict=True))
        return replace(output, unimodal=own, features={"fused": fused[:, :cut]})

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """The error of the score, or of the modalities' own scores in their phase."""
        if phase == "unimodal":
            errors = [self.error(said, batch.labels["M"]) for said in output.unimodal.values()]
            return torch.stack(errors).sum()
        return super().loss(output, batch, phase)

    def phases(self) -> tuple[Phase, ...]:
        """First the modalities alone, then the layers above; rates and batches are ours."""
        below, above = ("nets.", "own."), ("upper.", "score.")
        plan = Phase(batch=10, epochs=100, labels=(), monitor=self.monitor)
        return (
            replace(plan, name="unimodal", groups=(Group(below, lr=self.lr),), monitor="loss"),
            replace(plan, name="fusion", groups=(Group(above, lr=self.lr),)),
        )

    @classmethod
    def unfit(cls, given: Given, params: Mapping[str, Any]) -> str | None:
        """Deep fusion does not require videos."""
        return None if params.get("fusion") == "deep" else super().unfit(given, params)


def _two_layers(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
