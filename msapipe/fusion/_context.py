"""Models that read a clip in the context of its video: the clips before and after it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, FusionModel, Given, Output, absolute_error, masked_mean, mean_over

Target = Literal["label", "sign"]


def by_video(video: Tensor) -> tuple[Tensor, Tensor]:
    """Group the clips of each video, in the order of the batch.

    Videos of the clips, int64 (B,), to batch indices int64 (V, U), and their mask bool (V, U).
    """
    _, which = torch.unique(video, return_inverse=True)
    order = which.argsort(stable=True)
    counts = torch.bincount(which)
    mask = torch.arange(int(counts.max()), device=video.device) < counts.unsqueeze(1)
    rows = torch.zeros_like(mask, dtype=torch.int64)
    rows[mask] = order
    return rows, mask


def attended(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Attention of each clip of x over the clips of y in its video, times x: keeps (V, U, d).

    softmax(X Y^T) Y times X over the valid clips: bool (V, U).
    """
    weight = (x @ y.transpose(1, 2)).masked_fill(~mask.unsqueeze(1), -torch.inf).softmax(dim=2)
    return (weight @ y) * x


class Context(FusionModel):
    """Base of models of whole videos: each clip is a vector, the mean over its steps, in the order of its video.

    Clips with the same number in ``Batch.video`` belong to one video; without it, each clip is its own video.
    """

    by_video = True
    context: bool
    target: Target
    limit: float

    def add_score(self, width: int, target: Target, limit: float, context: bool) -> None:
        """Add the output layer on (B, width).

        target "sign": two classes; the score is the probability of the positive one, scaled to -limit...limit; clips
        with label 0 are left out.   "label": the score itself.   context: false reads every clip alone.
        """
        if limit <= 0:
            raise ConfigError(f"limit: found {limit}, expected more than 0")
        self.target, self.limit, self.context = target, limit, context
        if target == "sign":
            self.class_edges, self.scored_by_classes = (0.0,), True
        self.score = nn.Linear(width, 2 if target == "sign" else 1)

    @abstractmethod
    def in_context(self, clips: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """Modality to (V, U, D_m), and mask (V, U), to the input of the output layer (V, U, width)."""

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.standardized(batch)
        vectors = {name: masked_mean(batch.values[name], batch.mask[name]) for name in self.dims}
        alone = batch.video is None or not self.context
        video = torch.arange(len(batch), device=next(iter(vectors.values())).device) if alone else batch.video
        rows, mask = by_video(video)  # type: ignore[arg-type]
        inside = mask.unsqueeze(2)
        found = self.in_context({name: part[rows] * inside for name, part in vectors.items()}, mask)
        fused = found.new_zeros(len(batch), found.shape[2]).index_copy(0, rows[mask], found[mask])
        raw = self.raw_of(fused)
        classes = raw if self.target == "sign" else None
        return Output(score=self.said(raw), features={"fused": fused}, classes=classes)

    def raw_of(self, found: Tensor) -> Tensor:
        """The output layer on the result of ``in_context`` for each clip: (B, width) to (B, 1 or 2)."""
        return self.score(found)  # type: ignore[no-any-return]

    def said(self, raw: Tensor) -> Tensor:
        """The score (B,) from the output layer's (B, 1 or 2)."""
        if self.target == "label":
            return raw[:, 0]
        # Equal to the softmax of two logits.
        return self.limit * torch.tanh((raw[:, 1] - raw[:, 0]) / 2)

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean absolute error, or cross-entropy of the two classes."""
        return self.error(output.score, batch.labels["M"])

    def error(self, score: Tensor, label: Tensor) -> Tensor:
        """The same for any score (B,) and labels (B,)."""
        if self.target == "label":
            return absolute_error(score, label)
        known = label.isfinite() & (label != 0)
        # log p for tanh(x) = 2 p - 1; near its ends a score has no more digits than these.
        chance = ((1 + score / self.limit) / 2).clamp(1e-6, 1 - 1e-6)
        each = functional.binary_cross_entropy(chance, (label > 0).to(chance.dtype), reduction="none")
        return mean_over(each, known)

    @property
    def monitor(self) -> str:
        """The metric that selects the best epoch."""
        return "acc2" if self.target == "sign" else "mae"

    @classmethod
    def params_of(cls, scale: tuple[float, float]) -> dict[str, Any]:
        """The limit is that of the label scale."""
        return {"limit": max(map(abs, scale))}

    @classmethod
    def unfit(cls, given: Given, params: Mapping[str, Any]) -> str | None:
        """Requires videos of more than one clip."""
        if params.get("context", True) and max(given.videos.values(), default=1) < 2:
            return (
                "it reads a clip in its video, and every clip is a video of its own; name the videos in the column "
                "video_id of label.csv, or take context=false, which reads clips one by one"
            )
        return super().unfit(given, params)
