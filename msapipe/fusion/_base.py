"""What a fusion model reads and says."""

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
    """Clips side by side, padded on the right.

    values: modality to float32 (B, T_m, D_m).   mask: modality to bool (B, T_m), True = valid step.
    tokens: int64 (B, 3, L) word-piece ids, mask and segments for models that run a language model, or None.
    labels: {"M", "T", "A", "V"} to float32 (B,), NaN where a clip has none.   index: int64 (B,), positions in the
    training split.   standard: the columns are centred and scaled already.   times: modality to float32 (B, T_m, 2),
    start and end of each step in seconds; empty where they are not known.   video: int64 (B,), which video each clip
    is of, those of one video in the order of time; None: each clip is a video of its own.
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
        """Some of the clips, by their places in the batch, int64 (n,)."""
        return replace(
            self,
            values={name: part[which] for name, part in self.values.items()},
            mask={name: part[which] for name, part in self.mask.items()},
            tokens=None if self.tokens is None else self.tokens[which],
            labels={name: part[which] for name, part in self.labels.items()},
            index=None if self.index is None else self.index[which],
        )

    def without(self, modality: str) -> Batch:
        """The same clips with one modality switched off: zero and masked out."""
        values = {**self.values, modality: torch.zeros_like(self.values[modality])}
        mask = {**self.mask, modality: torch.zeros_like(self.mask[modality])}
        return replace(self, values=values, mask=mask)


@dataclass
class Output:
    """What a model says of a batch.

    score: float32 (B,) on the model's scale, NaN in a phase of training that asks for other things.
    unimodal: modality to (B,), what each says by itself.
    features: name to (B, d), at least "fused" where there is one.   losses: name to scalar, unweighted.
    diagnostics: gates, weights, attention, detached: (B, ...), or () for a number of the model.   interval: (B, 2),
    low and high bound between which the label lies nine times in ten; None where the model cannot say.
    classes: logits (B, C) of the classes between the model's ``class_edges``, lowest first; None for a model without
    such a head.
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
    """Parameters that learn alike.

    prefixes: beginnings of their names; of several groups the one with the longest fitting prefix has a parameter
    ("" fits all).   lr: learning rate.   weight_decay: biases and one-dimensional weights are spared.   name: what
    settings call it (``--set group.NAME.lr=``).
    """

    prefixes: tuple[str, ...] = ("",)
    lr: float = 1e-3
    weight_decay: float = 0.0
    name: str = "all"


@dataclass(frozen=True)
class Phase:
    """One stretch of training over the training split.

    groups: what learns; a parameter that no prefix fits is frozen, and a module without any that learns is in eval
    mode.   labels: only clips that have one of these take part; () is all of them.   mixed: every epoch begins with a
    pass over all clips, in which the loss is asked for the phase "NAME_mixed".   batch: clips, of a model by video
    videos.   schedule: constant, cosine (to
    1e-6), linear (after ``warmup``, a share of all steps, down to 0), plateau (a tenth when ``patience`` / 2 epochs
    bring nothing).   clip: bound of the gradient's norm, or with ``clip_by`` "value" of each of its numbers.
    accumulate: batches a step; the rest of an epoch is a step.
    monitor: what the best epoch is chosen by, over the validation split: mae, mae_T ..., loss (smaller is better),
    acc2, corr, class_acc, class_f1_macro (larger is better); "last": the last epoch.   patience: epochs without a
    better one, None: never stop.
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
    """What a data set has, for a model to say whether it can be trained on it.

    clips: of the training split.   labels: the letters that one of them has.   videos: clips of each of its videos;
    empty when no clip says what it was cut from.   unaligned: a clip of which audio or vision has more steps than the
    text, "" when there is none.   same_clock: the modalities of a clip end at about the same time.   low, high: ends
    of the scale.
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
    """The settings that a source gives for one corpus.

    source: where they stand.   values: what ``--set`` takes, a parameter of the model or a setting of its training;
    what the source leaves open is left out, and stays as the model has it.
    """

    source: str
    values: Mapping[str, Any] = field(default_factory=dict)


Batches = Callable[[], Iterable[Batch]]


class FusionModel(nn.Module, ABC):
    """Scores clips from their features.

    Built with the widths of its inputs, which come from the data, never from constants, and keyword parameters that
    are its settings. Padding and batch mates never move a score; a modality without a valid step is missing, which
    every model must bear. ``forward`` reads no label. What it normalises by are buffers of its own: begin ``forward``
    with ``batch = self.standardized(batch)``.

    version: raise it whenever the same weights give other scores.
    reads_tokens: it runs a language model over ``Batch.tokens``.
    by_video: it reads a clip in its video: batches hold whole videos, and only other videos never move a score.
    standardizes: it has the buffers of ``standardized``; a model that normalises in a way of its own has not.
    idle: beginnings of names of parameters that the model's reference has and no score depends on; they are kept so
    that its numbers of parameters and its weights fit.
    raw: modalities that ``standardized`` leaves as they are, because an encoder of the model's own reads them (token
    ids, sound, pictures); padding is then that encoder's to leave out.
    presets: corpus ("mosi", "mosei", "sims", "sims_v2") to the settings of the model's source for it; a dictionary
    written out in the class, so that it is listed without importing torch.
    facts: what there is to know before choosing it, written out likewise: "paper", "year", "inputs" (tokens are ids for
    a language model, or the features of one), whether they must be "aligned" to the words (one grid: they are averaged
    to as many steps), "tasks", and "parameters" with text, audio and vision of 768, 5 and 20 columns and the paper's
    own sizes, without a language model.
    by_modality: diagnostics (B, M) whose columns are the modalities in the order of ``dims``.
    class_edges: of a model with a head of classes, the scores between them, right-closed as those of CH-SIMS: a label
    at an edge is of the class below it. Two classes, (0.0,), are negative and positive; a label of 0 is of neither.
    scored_by_classes: the classes are all that it learns, and the score is made of their probabilities.
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
        """The batch with every column centred and scaled by the training split's numbers; masked steps are zero.

        Modalities of ``raw`` are left as they are.
        """
        if batch.standard:
            return batch
        values = {name: self.standardized_values(name, batch.values[name], batch.mask[name]) for name in self.dims}
        return replace(batch, values=values, standard=True)

    def standardized_values(self, name: str, values: Tensor, mask: Tensor) -> Tensor:
        """The same of one modality: (B, T, D), (B, T) to (B, T, D)."""
        if name in self.raw:
            return values
        return centred(values, mask, self.get_buffer(f"center_{name}"), self.get_buffer(f"std_{name}"))

    @classmethod
    def unfit(cls, given: Given, params: Mapping[str, Any]) -> str | None:
        """Why a model with these parameters cannot be trained on a data set, in a sentence; None when it can."""
        return None

    @classmethod
    def params_of(cls, scale: tuple[float, float]) -> dict[str, Any]:
        """Parameters that follow from the label scale, where the user says nothing else."""
        return {}

    def counts(self) -> dict[str, int]:
        """Parts of the model to the number of their parameters, where a paper counts a part alone."""
        return {}

    def choose(self, phase: str, labels: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """Which ``rows`` of the training split, int64, a phase learns from; ``labels`` are those of the whole split.

        Called before ``begin``, and again when a killed training goes on.
        """
        return rows

    def kept_params(self) -> dict[str, str]:
        """Parameters that a model folder needs beside those that were given, to build the model anew."""
        return {}

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean absolute error of the score plus the model's own losses; override for other weights."""
        total = absolute_error(output.score, batch.labels["M"])
        for part in output.losses.values():
            total = total + part
        return total

    def phases(self) -> tuple[Phase, ...]:
        """How it is trained; one phase of everything unless it says otherwise."""
        return (Phase(),)

    def begin(self, phase: str, batches: Batches) -> None:
        """Before a phase's first epoch; ``batches()`` goes once over the training split, in order."""

    def begin_epoch(self, phase: str, epoch: int, batches: Batches) -> None:
        """Before each epoch, counted from 1."""

    def after_step(self, output: Output, batch: Batch, phase: str, epoch: int) -> None:
        """After each step; ``output`` is detached."""


def centred(values: Tensor, mask: Tensor, center: Tensor, std: Tensor) -> Tensor:
    """Columns centred and scaled, within LIMIT deviations, zero where masked out: (B, T, D), (B, T), (D,), (D,)."""
    return ((values - center) / std).clamp(-LIMIT, LIMIT).masked_fill(~mask.unsqueeze(-1), 0.0)


def neutral_band(scale: tuple[float, float]) -> float:
    """How far from 0 a label is still neutral, as accuracy of three classes counts: 0.1 on [-1, 1], 0.5 beyond."""
    return 0.1 if max(abs(bound) for bound in scale) <= 1 else 0.5


def collate(clips: Sequence[Mapping[str, FeatureSequence]], dims: Mapping[str, int]) -> Batch:
    """Pad clips to a batch. A clip without a modality gets one masked step, so that no model sees an empty axis."""
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
    """Standard deviation over the valid steps (of the population), zero for less than two: (B, T, D) to (B, D)."""
    centred = values - masked_mean(values, mask).unsqueeze(1)
    return masked_mean(centred**2, mask).sqrt()


def absolute_error(predicted: Tensor, label: Tensor) -> Tensor:
    """Mean absolute error over the clips that have a label: (B,), (B,) with NaN to (); zero when none has."""
    there = label.isfinite()
    error = (predicted - label.nan_to_num()).abs().masked_fill(~there, 0.0)
    return error.sum() / there.sum().clamp(min=1)


def squared_error(predicted: Tensor, label: Tensor) -> Tensor:
    """Mean squared error over the clips that have a label: (B,), (B,) with NaN to (); zero when none has."""
    there = label.isfinite()
    error = (predicted - label.nan_to_num()).square().masked_fill(~there, 0.0)
    return error.sum() / there.sum().clamp(min=1)


def owners(model: nn.Module, phase: Phase) -> dict[str, int]:
    """Parameter name to the group of the phase that has it, by the longest fitting prefix; frozen ones are left out."""
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
