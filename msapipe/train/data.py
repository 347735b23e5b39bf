"""Training data: samples with labels and splits, and the origin of their features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msapipe.cache import digest, file_digest
from msapipe.errors import MsapipeError
from msapipe.formats import format_of
from msapipe.pipeline.model_pipeline import made_by as made_by_pipeline
from msapipe.pipeline.spec import PipelineSpec
from msapipe.train.labels import read_labels, with_labels
from msapipe.train.missing import Missing
from msapipe.train.split import shared_videos, with_splits
from msapipe.types import Sample

_SCALES = ((-1.0, 1.0), (-3.0, 3.0))


@dataclass(frozen=True)
class DataSet:
    """Samples, each with a split.

    name: for cards.   made_by: what the features depend on (see a model card), with "align", and "pipeline" if known.
    scale: lowest and highest label.   notes: what a user should know about the data, and what was left out.
    """

    name: str
    samples: tuple[Sample, ...]
    made_by: Mapping[str, Any]
    scale: tuple[float, float]
    notes: tuple[str, ...] = ()

    @property
    def dims(self) -> dict[str, int]:
        """Modality to its number of columns."""
        found: dict[str, int] = {}
        for sample in self.samples:
            for name, part in sample.features.items():
                width = part.values.shape[1]
                if found.setdefault(name, width) != width:
                    raise MsapipeError(f"clip {sample.id}: {name} has {width} columns, earlier clips {found[name]}")
        return {name: found[name] for name in ("text", "audio", "vision") if name in found}

    def split(self, name: str) -> list[Sample]:
        """The samples of train, valid or test."""
        return [sample for sample in self.samples if sample.split == name]


def load_data(features: Path, labels: Path | None = None, scale: tuple[float, float] | None = None) -> DataSet:
    """Read a feature file (.safetensors of ``msapipe extract -o``, .pkl of MMSA) and its labels.

    labels: a label.csv; default: label.csv beside the features, if the file has no labels itself. scale: lowest and
    highest label; default: [-1, 1] or [-3, 3], whichever holds all. Raises MsapipeError.
    """
    source = format_of(features)
    if not features.exists():
        raise MsapipeError(f"{features}: there is no such file; write one with: msapipe extract VIDEOS -o {features}")
    missing = Missing()
    samples = list(missing.watch(source.read(features)))
    beside = features.parent / "label.csv"
    if labels is None and not any(sample.labels for sample in samples):
        if not beside.is_file():
            raise MsapipeError(f"{features}: holds no labels, and {beside} is not there; give one with --labels")
        labels = beside
    made_by = source.made_by(features) or {"features": {"file": {"sha256": _digest(features)}}, "align": None}
    return _data_set(features, samples, made_by, labels, scale, [*missing.notes(), *source.notes])


def data_of_clips(
    root: Path,
    samples: Sequence[Sample],
    spec: PipelineSpec,
    labels: Path | None = None,
    scale: tuple[float, float] | None = None,
) -> DataSet:
    """A data set of clips whose features a pipeline made.

    labels: a label.csv in place of the samples' own labels. For ``scale``, and errors, see ``load_data``.
    """
    missing = Missing()
    samples = list(missing.watch(samples))
    return _data_set(root.absolute(), samples, made_by_pipeline(spec), labels, scale, missing.notes())


def _data_set(
    path: Path,
    samples: Sequence[Sample],
    made_by: Mapping[str, Any],
    labels: Path | None,
    scale: tuple[float, float] | None,
    notes: list[str],
) -> DataSet:
    if labels is not None:
        samples, said = with_labels(samples, read_labels(labels), labels)
        notes = [*notes, *said]
    if not any("M" in sample.labels for sample in samples):
        raise MsapipeError(f"{path}: no clip has a label; are the ids those of {labels or 'its table'}?")
    found = _scale(samples, scale)
    split = with_splits(samples)
    notes += [note for note in (shared_videos(split),) if note]
    return DataSet(path.name, tuple(split), made_by, found, tuple(notes))


def _digest(features: Path) -> str:
    """sha256 of a file, or of the files of a folder with their names."""
    if features.is_file():
        return file_digest(features)
    files = sorted(path for path in features.rglob("*") if path.is_file())
    return digest({path.relative_to(features).as_posix(): file_digest(path) for path in files})


def _scale(samples: Sequence[Sample], asked: tuple[float, float] | None) -> tuple[float, float]:
    """The requested scale, or the narrowest usual one that holds every label."""
    for low, high in (asked,) if asked else _SCALES:
        odd = [
            (sample.id, label)
            for sample in samples
            for label in sample.labels.values()
            if not low - 1e-6 <= label <= high + 1e-6
        ]
        if not odd:
            return low, high
    clip, label = odd[0]
    raise MsapipeError(
        f"clip {clip} has the label {label:g}, which lies outside [{low:g}, {high:g}] ({len(odd)} labels do); "
        "mend it, or say the scale: --scale LOW,HIGH"
    )
