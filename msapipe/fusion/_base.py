"""The interface of fusion models: input, output and training settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from msapipe.fusion._scores import LIMIT
from msapipe.types import FeatureSequence


@dataclass
class Batch:
    """A batch of clips, padded on the right.

    values: modality to float32 (B, T_m, D_m).   mask: modality to bool (B, T_m), True = valid step.
    tokens: int64 (B, 3, L) word-piece ids, attention mask and segment ids for language models, or None.
    labels: {"M", "T", "A", "V"} to float32 (B,), NaN if missing.   index: int64 (B,), positions in the
    training split.   standard: the columns are already standardised.   times: modality to float32 (B, T_m, 2),
    start and end of each step in seconds; empty if unknown.   video: int64 (B,), the video of each clip;
    clips of a video are in order of time; None: each clip is its own video.
    """

    values: dict[str, Tensor]
    mask: dict[str, Tensor]
    tokens: Tensor | None = None
    labels: dict[str, Tensor] = field(default_factory=dict)
    index: Tensor | None = None
    standard: bool = False
    times: dict[str, Tensor] = field(default_factory=dict)
    video: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def some(self, which: Tensor) -> Batch:
        """Select clips by index, int64 (n,)."""
        return replace(
            self,
            values={name: part[which] for name, part in self.values.items()},
            mask={name: part[which] for name, part in self.mask.items()},
            tokens=None if self.tokens is None else self.tokens[which],
            labels={name: part[which] for name, part in self.labels.items()},
            index=None if self.index is None else self.index[which],
        )

    def without(self, modality: str) -> Batch:
        """The same clips with one modality zeroed and masked."""
        values = {**self.values, modality: torch.zeros_like(self.values[modality])}
        mask = {**self.mask, modality: torch.zeros_like(self.mask[modality])}
        return replace(self, values=values, mask=mask)


@dataclass
class Output:
    """A model's output for a batch.

    score: float32 (B,) on the model's scale, NaN in a training phase that does not compute it.
    unimodal: modality to (B,), the score from each modality alone.
    features: name to (B, d), including "fused" if there is one.   losses: name to scalar, unweighted.
    diagnostics: gates, weights, attention, detached: (B, ...), or () for a value of the model.   interval: (B, 2),
    bounds of a 90% prediction interval of the label; None if the model gives none.
    classes: logits (B, C) of the classes between the model's ``class_edges``, lowest first; None without such a head.
    """

    score: Tensor
    unimodal: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    interval: Tensor | None = None
    classes: Tensor | None = None


@dataclass(frozen=True)
class Group:
    """Parameters with the same optimiser settings.

    prefixes: prefixes of parameter names; a parameter belongs to the group with the longest matching prefix ("" matches
    all).   lr: learning rate.   weight_decay: not applied to biases and one-dimensional weights.   name: used in
    settings (``--set group.NAME.lr=``).
    """

    prefixes: tuple[str, ...] = ("",)
    lr: float = 1e-3
    weight_decay: float = 0.0
    name: str = "all"


@dataclass(frozen=True)
class Phase:
    """One phase of training on the training split.

    groups: the trained parameters; a parameter that no prefix matches is frozen, and a module without trained
    parameters is in eval mode.   labels: only clips with one of these take part; () is all of them.   mixed: every
    epoch begins with a pass over all clips, with the loss of the phase "NAME_mixed".   batch: clips per batch, or
    videos if the model reads by video.   schedule: constant, cosine (to 1e-6), linear (after ``warmup``, a share of all
    steps, down to 0), plateau (a tenth after ``patience`` / 2 epochs without improvement).   clip: bound of the
    gradient norm, or with ``clip_by`` "value" of each entry.
    accumulate: batches per step; the rest of an epoch is a step.
    monitor: validation metric that selects the best epoch: mae, mae_T ..., loss (smaller is better), acc2, corr,
    class_acc, class_f1_macro (larger is better); "last": the last epoch.   patience: epochs without
    improvement before stopping, None: never stop.
    """

    name: str = "all"
    groups: tuple[Group, ...] = (Group(),)
    epochs: int = 100
    batch: int = 32
    optimizer: Literal["adam", "adamw"] = "adam"
    schedule: Literal["constant", "cosine", "linear", "plateau"] = "constant"
    warmup: float = 0.0
    clip: float | None = 1.0
    clip_by: Literal["norm", "value"] = "norm"
    accumulate: int = 1
    labels: tuple[str, ...] = ("M",)
    mixed: bool = False
    monitor: str = "mae"
    patience: int | None = 8


@dataclass(frozen=True)
class Given:
    """Properties of a data set that decide whether a model can be trained on it.

    clips: in the training split.   labels: letters of the available labels.   videos: number of clips of each video;
    empty if no clip names its video.   unaligned: a clip whose audio or vision has more steps than its text, or "".
    same_clock: the modalities of a clip end at about the same time.   low, high: ends of the scale.
    """

    clips: int
    labels: frozenset[str]
    videos: Mapping[str, int]
    unaligned: str
    same_clock: bool
    low: float
    high: float


@dataclass(frozen=True)
class Preset:
    """A source's settings for one corpus.

    source: where they are published.   values: as for ``--set``, model parameters or training settings; those that the
    source does not state keep the model's defaults.
    """

    source: str
    values: Mapping[str, Any] = field(default_factory=dict)


Batches = Callable[[], Iterable[Batch]]


class FusionModel(nn.Module, ABC):
    """Scores clips from their features.

    Built with input widths, which come from the data, and keyword parameters as settings. Padding and other clips of a
    batch never change a score; a modality without a valid step is missing, and every model must accept that.
    ``forward`` reads no label. Normalisation constants are buffers of the model: begin ``forward`` with ``batch =
    self.standardized(batch)``.

    version: increase it if the same weights give other scores.
    reads_tokens: it runs a language model on ``Batch.tokens``.
    by_video: it reads clips in the context of their video: batches hold whole videos, and only other videos never
    change a score.
    standardizes: it has the buffers of ``standardized``; False for a model with its own normalisation.
    idle: prefixes of parameters that exist in the reference but do not affect the score; they are kept so that
    parameter counts and weights match.
    raw: modalities that ``standardized`` leaves unchanged, because an encoder within the model reads them (token ids,
    sound, images); that encoder must then handle padding.
    presets: corpus ("mosi", "mosei", "sims", "sims_v2") to the published settings for it; a dictionary literal in the
    class, so that it can be listed without importing torch.
    facts: for choosing a model, also a literal: "paper", "year", "inputs" (tokens are ids for a language model, or its
    features), whether they must be "aligned" to the words (one grid: they are averaged to as many steps), "tasks", and
    "parameters" with text, audio and vision of 768, 5 and 20 columns and the paper's sizes, without a language model.
    by_modality: diagnostics (B, M) whose columns are the modalities in the order of ``dims``.
    class_edges: scores between the classes of a classification head, right-closed as in CH-SIMS: a label at an edge is
    in the class below it. Two classes, (0.0,), are negative and positive; a label of 0 is in neither.
    scored_by_classes: only the classes are learned, and the score is computed from their probabilities.
    """

    version: ClassVar[int] = 1
    standardizes: ClassVar[bool] = True
    reads_tokens: ClassVar[bool] = False
    by_video: ClassVar[bool] = False
    idle: ClassVar[tuple[str, ...]] = ()
    presets: ClassVar[Mapping[str, Preset]] = {}
    facts: ClassVar[Mapping[str, str | int]] = {}
    by_modality: ClassVar[frozenset[str]] = frozenset()
    raw: frozenset[str] = frozenset()
    class_edges: tuple[float, ...] = ()
    scored_by_classes: bool = False

    def __init__(self, dims: Mapping[str, int]) -> None:
        """dims: modality ("text", "audio", "vision") to the number of its columns."""
        super().__init__()
        self.dims = dict(dims)
        for name, width in self.dims.items() if self.standardizes else ():
            self.register_buffer(f"center_{name}", torch.zeros(width))
            self.register_buffer(f"std_{name}", torch.ones(width))

    @abstractmethod
    def forward(self, batch: Batch) -> Output:
        """Score a batch."""

    def standardized(self, batch: Batch) -> Batch:
        """Standardise every column by the training split's statistics; masked steps are zero.

        Modalities in ``raw`` are left unchanged.
        """
        if batch.standard:
            return batch
        values = {name: self.standardized_values(name, batch.values[name], batch.mask[name]) for name in self.dims}
        return replace(batch, values=values, standard=True)

    def standardized_values(self, name: str, values: Tensor, mask: Tensor) -> Tensor:
        """The same for one modality: (B, T, D), (B, T) to (B, T, D)."""
        if name in self.raw:
            return values
        return centred(values, mask, self.get_buffer(f"center_{name}"), self.get_buffer(f"std_{name}"))

    @classmethod
    def unfit(cls, given: Given, params: Mapping[str, Any]) -> str | None:
        """Why a model with these parameters cannot be trained on a data set, as a sentence; None if it can."""
        return None

    @classmethod
    def params_of(cls, scale: tuple[float, float]) -> dict[str, Any]:
        """Parameters derived from the label scale, unless the user sets them."""
        return {}

    def counts(self) -> dict[str, int]:
        """Parameter counts of parts of the model that a paper counts separately."""
        return {}

    def choose(self, phase: str, labels: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """The ``rows`` of the training split, int64, for a phase; ``labels`` are those of the whole split.

        Called before ``begin``, and again when an interrupted training resumes.
        """
        return rows

    def kept_params(self) -> dict[str, str]:
        """Parameters that a model folder needs, beyond the given ones, to rebuild the model."""
        return {}

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean absolute error of the score plus the model's own losses; override for other weights."""
        total = absolute_error(output.score, batch.labels["M"])
        for part in output.losses.values():
            total = total + part
        return total

    def phases(self) -> tuple[Phase, ...]:
        """The training phases; by default one phase with all parameters."""
        return (Phase(),)

    def begin(self, phase: str, batches: Batches) -> None:
        """Called before a phase's first epoch; ``batches()`` iterates once over the training split, in order."""

    def begin_epoch(self, phase: str, epoch: int, batches: Batches) -> None:
        """Called before each epoch, counted from 1."""

    def after_step(self, output: Output, batch: Batch, phase: str, epoch: int) -> None:
        """Called after each step; ``output`` is detached."""


def centred(values: Tensor, mask: Tensor, center: Tensor, std: Tensor) -> Tensor:
    """Standardise columns, clip to LIMIT deviations, zero masked steps: (B, T, D), (B, T), (D,), (D,)."""
    return ((values - center) / std).clamp(-LIMIT, LIMIT).masked_fill(~mask.unsqueeze(-1), 0.0)


def neutral_band(scale: tuple[float, float]) -> float:
    """Largest absolute label that is neutral in three-class accuracy: 0.1 on [-1, 1], 0.5 on wider scales."""
    return 0.1 if max(abs(bound) for bound in scale) <= 1 else 0.5


def collate(clips: Sequence[Mapping[str, FeatureSequence]], dims: Mapping[str, int]) -> Batch:
    """Pad clips to a batch. A missing modality becomes one masked step, so that no axis is empty."""
    values: dict[str, Tensor] = {}
    mask: dict[str, Tensor] = {}
    times: dict[str, Tensor] = {}
    for name, width in dims.items():
        rows = [clip.get(name) for clip in clips]
        longest = max(1, *(len(row.values) for row in rows if row is not None), 1)
        values[name] = torch.zeros(len(rows), longest, width)
        mask[name] = torch.zeros(len(rows), longest, dtype=torch.bool)
        times[name] = torch.zeros(len(rows), longest, 2)
        for i, row in enumerate(rows):
            if row is not None and len(row.values):
                values[name][i, : len(row.values)] = torch.from_numpy(row.values.copy())
                mask[name][i, : len(row.values)] = torch.from_numpy(row.valid.copy())
                times[name][i, : len(row.values)] = torch.from_numpy(row.times.astype("float32"))
    return Batch(values, mask, times=times)


def present(mask: Tensor) -> Tensor:
    """Which clips have a valid step: bool (B, T) to bool (B,)."""
    return mask.any(dim=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the valid steps, zero where there are none: (B, T, D), (B, T) to (B, D)."""
    weight = mask.unsqueeze(-1).to(values.dtype)
    total: Tensor = (values * weight).sum(dim=1)
    return total / weight.sum(dim=1).clamp(min=1)


def masked_std(values: Tensor, mask: Tensor) -> Tensor:
    """Population standard deviation over the valid steps, zero for fewer than two: (B, T, D) to (B, D)."""
    centred = values - masked_mean(values, mask).unsqueeze(1)
    return masked_mean(centred**2, mask).sqrt()


def absolute_error(predicted: Tensor, label: Tensor) -> Tensor:
    """Mean absolute error over the labelled clips: (B,), (B,) with NaN to (); zero without labels."""
    return mean_over((predicted - label.nan_to_num()).abs(), label.isfinite())


def squared_error(predicted: Tensor, label: Tensor) -> Tensor:
    """Mean squared error over the labelled clips: (B,), (B,) with NaN to (); zero without labels."""
    return mean_over((predicted - label.nan_to_num()).square(), label.isfinite())


def mean_over(each: Tensor, which: Tensor) -> Tensor:
    """Mean of the entries where ``which`` is True, zero if it is nowhere: two tensors of equal shape to ()."""
    return each.masked_fill(~which, 0.0).sum() / which.sum().clamp(min=1)


def owners(model: nn.Module, phase: Phase) -> dict[str, int]:
    """Parameter name to its group in the phase, by the longest matching prefix, without frozen parameters."""
    found: dict[str, int] = {}
    for name, _ in model.named_parameters():
        fits = [
            (len(prefix), -number)
            for number, group in enumerate(phase.groups)
            for prefix in group.prefixes
            if name.startswith(prefix)
        ]
        if fits:
            found[name] = -max(fits)[1]
    return found
