"""What a fusion model reads and says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from msapipe.types import FeatureSequence


@dataclass
class Batch:
    """Clips side by side, padded on the right.

    values: modality to float32 (B, T_m, D_m).   mask: modality to bool (B, T_m), True = valid step.
    tokens: int64 (B, 3, L) word-piece ids, mask and segments for models that run a language model, or None.
    labels: {"M", "T", "A", "V"} to float32 (B,).   index: int64 (B,), positions in the training split.
    """

    values: dict[str, Tensor]
    mask: dict[str, Tensor]
    tokens: Tensor | None = None
    labels: dict[str, Tensor] = field(default_factory=dict)
    index: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def without(self, modality: str) -> Batch:
        """The same clips with one modality switched off: zero and masked out."""
        values = {**self.values, modality: torch.zeros_like(self.values[modality])}
        mask = {**self.mask, modality: torch.zeros_like(self.mask[modality])}
        return Batch(values, mask, self.tokens, self.labels, self.index)


@dataclass
class Output:
    """What a model says of a batch.

    score: float32 (B,) on the model's scale.   unimodal: modality to (B,), what each says by itself.
    features: name to (B, d), at least "fused" where there is one.   losses: name to scalar, unweighted.
    diagnostics: gates, weights, attention, detached.
    """

    score: Tensor
    unimodal: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)
    diagnostics: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """One stretch of training: which parameters learn, by name prefix, and for how long at most."""

    name: str
    parameters: tuple[str, ...]
    epochs: int


class FusionModel(nn.Module, ABC):
    """Scores clips from their features.

    Built with the widths of its inputs, which come from the data, never from constants, and keyword parameters that
    are its settings. Padding and batch mates never move a score; a modality without a valid step is missing, which
    every model must bear. What it normalises by are buffers of its own.

    version: raise it whenever the same weights give other scores.
    """

    version: ClassVar[int] = 1

    def __init__(self, dims: Mapping[str, int], **params: Any) -> None:
        """dims: modality ("text", "audio", "vision") to the number of its columns."""
        super().__init__()
        self.dims = dict(dims)

    @abstractmethod
    def forward(self, batch: Batch) -> Output:
        """Score a batch."""

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """Mean absolute error of the score plus the model's own losses; override for other weights."""
        total = (output.score - batch.labels["M"]).abs().mean()
        for part in output.losses.values():
            total = total + part
        return total

    def phases(self) -> tuple[Phase, ...]:
        """How it is trained; one phase of everything unless it says otherwise."""
        return (Phase("all", ("",), 50),)


def collate(clips: Sequence[Mapping[str, FeatureSequence]], dims: Mapping[str, int]) -> Batch:
    """Pad clips to a batch. A clip without a modality gets one masked step, so that no model sees an empty axis."""
    values: dict[str, Tensor] = {}
    mask: dict[str, Tensor] = {}
    for name, width in dims.items():
        rows = [clip.get(name) for clip in clips]
        longest = max(1, *(len(row.values) for row in rows if row is not None), 1)
        values[name] = torch.zeros(len(rows), longest, width)
        mask[name] = torch.zeros(len(rows), longest, dtype=torch.bool)
        for i, row in enumerate(rows):
            if row is not None and len(row.values):
                values[name][i, : len(row.values)] = torch.from_numpy(row.values.copy())
                mask[name][i, : len(row.values)] = torch.from_numpy(row.valid.copy())
    return Batch(values, mask)


def present(mask: Tensor) -> Tensor:
    """Which clips have a valid step: bool (B, T) to bool (B,)."""
    return mask.any(dim=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the valid steps, zero where there are none: (B, T, D), (B, T) to (B, D)."""
    weight = mask.unsqueeze(-1).to(values.dtype)
    total: Tensor = (values * weight).sum(dim=1)
    return total / weight.sum(dim=1).clamp(min=1)


def masked_std(values: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation over the valid steps (of the population), zero for less than two: (B, T, D) to (B, D)."""
    centred = values - masked_mean(values, mask).unsqueeze(1)
    return masked_mean(centred**2, mask).sqrt()


def parameter_names(model: nn.Module, prefixes: Iterable[str]) -> list[str]:
    """Names of the parameters that begin with one of ``prefixes`` ("" is all)."""
    wanted = tuple(prefixes)
    return [name for name, _ in model.named_parameters() if name.startswith(wanted)]
