"""How often a head is right: labels.csv beside photographs or sounds, and the columns of features that bear its names.

Nothing here maps one name to another: a class is a name that stands in the table and over a column.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from msapipe.errors import ConfigError, MsapipeError
from msapipe.pipeline.spec import PipelineSpec
from msapipe.types import FeatureSequence

# The only names that are stated: of each dimension, the emotions above and below its zero.
SIDES: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "valence": (
        frozenset({"happiness", "happy"}),
        frozenset({"anger", "angry", "disgust", "fear", "sadness", "sad"}),
    ),
    "arousal": (frozenset({"anger", "angry", "happiness", "happy"}), frozenset({"neutral", "sadness", "sad"})),
}
# Classes that photographs have too few of, or that people do not agree on: there is a figure without them as well.
DOUBTFUL = frozenset({"contempt", "disgust", "fear"})

_SPLITS = ("", "train", "valid", "test")
_SOUND = frozenset({".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".aif", ".aiff"})


@dataclass(frozen=True)
class LabelledFile:
    """One line of labels.csv: a file inside the folder, its emotion and its split."""

    line: int
    name: str
    path: Path
    emotion: str
    split: str | None


def read_emotions(table: Path, folder: Path) -> list[LabelledFile]:
    """Read labels.csv: columns ``image`` or ``file``, ``emotion``, and ``split`` where there is one.

    Raises MsapipeError naming the line, for a file that is not there, twice there, or not inside ``folder``: absolute
    paths, ".." and links are refused.
    """
    if not table.is_file():
        raise MsapipeError(
            f"{table} is not there; name a table of image (or file) and emotion with --labels; "
            f"a folder of videos needs a label.csv: msapipe data new {folder}"
        )
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            named = next((name for name in ("image", "file") if name in columns), None)
            if named is None or "emotion" not in columns:
                raise MsapipeError(
                    f"{table}: found the columns {', '.join(columns) or 'none'}; expected image (or file) and emotion"
                )
            files = [_file(f"{table}: line {line}", line, row, named, folder) for line, row in enumerate(reader, 2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MsapipeError(f"{table}: cannot be read as a table of labels: {error}") from error
    seen: dict[Path, int] = {}
    for item in files:
        if item.path in seen:
            raise MsapipeError(f"{table}: line {item.line}: {item.name} stands on line {seen[item.path]} already")
        seen[item.path] = item.line
    if not files:
        raise MsapipeError(f"{table}: holds no row")
    return files


def _file(where: str, line: int, row: Mapping[str, str | None], named: str, folder: Path) -> LabelledFile:
    name, emotion, split = ((row.get(column) or "").strip() for column in (named, "emotion", "split"))
    if not name or not emotion:
        raise MsapipeError(f"{where}: the column {'emotion' if name else named} is empty")
    if split not in _SPLITS:
        raise MsapipeError(f"{where}: split is {split!r}, expected train, valid or test")
    return LabelledFile(line, name, _inside(where, folder, name), emotion, split or None)


def _inside(where: str, folder: Path, name: str) -> Path:
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts:
        raise MsapipeError(f"{where}: {name} leads out of {folder}; name files inside it")
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise MsapipeError(f"{where}: {name} is a link, or goes through one; put the file itself into {folder}")
    if not path.is_file():
        raise MsapipeError(f"{where}: {path} is not there{_archive(folder)}")
    return path


def _archive(folder: Path) -> str:
    found = sorted(folder.glob("*.zip"))
    return f"; {found[0].name} is not opened: type unzip {found[0]} -d {folder}" if found else ""


def modality_of(files: Sequence[LabelledFile]) -> str:
    """ "audio" for sounds, "vision" for anything else; raises MsapipeError naming the line where both are mixed."""
    first, *others = files
    sound = _is_sound(first)
    for item in others:
        if _is_sound(item) != sound:
            raise MsapipeError(
                f"line {item.line}: {item.name} and {first.name} (line {first.line}): sounds and pictures are measured "
                "apart; give each a folder"
            )
    return "audio" if sound else "vision"


def _is_sound(item: LabelledFile) -> bool:
    return item.path.suffix.lower() in _SOUND


def only(spec: PipelineSpec, modality: str) -> PipelineSpec:
    """The pipeline with one modality and what it reads; results lie in the cache under the same keys.

    Raises ConfigError when it has no stage for the modality.
    """
    if not spec.stages.get(modality):
        raise ConfigError(f"pipeline {spec.name} has no stage for {modality}")
    return replace(spec.only([modality]), model=None)


@dataclass(frozen=True)
class Reading:
    """What a head says of one file: the mean of each column over the valid steps; {} when it saw or heard nothing.

    why: why it did not, or why the whole picture was taken for a face.
    """

    emotion: str
    columns: Mapping[str, float]
    why: str = ""


def reading(emotion: str, features: FeatureSequence | None, emotions: Collection[str], why: str = "") -> Reading:
    """The columns of the channel that bears most of the ``emotions``.

    features: None when nothing could be computed of the file.   why: the reason, if nothing was seen or heard in it.
    Raises ConfigError when less than two of the emotions stand over columns, MsapipeError when there is only one.
    """
    if len(emotions) < 2:
        raise MsapipeError(f"every row says {emotion}: there is nothing to choose among")
    if features is None:
        return Reading(emotion, {}, why)
    channels: dict[str, dict[str, int]] = {}
    for index, name in enumerate(features.names):
        channel, _, column = name.rpartition(".")
        channels.setdefault(channel, {})[column] = index
    found = max(channels.values(), key=lambda columns: len(columns.keys() & set(emotions)), default={})
    if len(found.keys() & set(emotions)) < 2:
        raise ConfigError(
            f"no stage of the pipeline says anything of {', '.join(sorted(emotions))}; it says {', '.join(found)}"
        )
    if not features.valid.any():
        return Reading(emotion, {}, why)
    means = features.values[features.valid].mean(axis=0, dtype=float)
    return Reading(emotion, {name: float(means[index]) for name, index in found.items()}, why)


def figures(readings: Sequence[Reading]) -> dict[str, Any]:
    """How often the head is right; a file of which nothing was seen counts as wrong.

    ``*_seen`` leave such files out, and those in which no face was found.
    unseen, assumed: how many those are, and reasons: why.   unknown: emotion to number of files, for emotions without a
    column; they are left out.   classes: emotion to files, recall, recall_seen; the answer is the highest of the
    emotions' columns.   macro_recall: mean over the classes.   without_doubtful: mean over those that are not DOUBTFUL.
    valence, arousal: balanced accuracy of that column's sign over the emotions of SIDES.
    None where a figure is not defined. Raises MsapipeError when nothing was seen in any file.
    """
    columns = {name for item in readings for name in item.columns}
    reasons = Counter(item.why for item in readings if item.why or not item.columns)
    if not columns:
        raise MsapipeError(f"nothing was seen or heard in any of {len(readings)} files: {'; '.join(reasons)}")
    known = [item for item in readings if item.emotion in columns]
    unknown = [item.emotion for item in readings if item.emotion not in columns]
    classes = sorted({item.emotion for item in known})
    found: dict[str, Any] = {
        "files": len(readings),
        "unseen": sum(not item.columns for item in readings),
        "assumed": sum(bool(item.columns and item.why) for item in readings),
        "reasons": dict(reasons.most_common()),
        "unknown": {emotion: unknown.count(emotion) for emotion in sorted(set(unknown))},
        **_macro(known, classes),
    }
    sure = [emotion for emotion in classes if emotion not in DOUBTFUL]
    if 1 < len(sure) < len(classes):
        recalls = {kind: [found["classes"][emotion][kind] for emotion in sure] for kind in ("recall", "recall_seen")}
        found["without_doubtful"] = {
            "emotions": sure,
            **{f"macro_{kind}": _mean(parts) for kind, parts in recalls.items()},
        }
    for dimension, (above, below) in SIDES.items():
        if dimension in columns:
            found |= _balanced(readings, dimension, above, below)
    return found


def _macro(readings: Sequence[Reading], classes: Sequence[str]) -> dict[str, Any]:
    """Recall of each class and the mean of the recalls."""
    right = {emotion: _Hits() for emotion in classes}
    for item in readings:
        answer = max(classes, key=lambda emotion: item.columns[emotion]) if item.columns else None
        right[item.emotion].add(answer, item.emotion, seen=not item.why)
    return {
        "classes": {
            emotion: {"files": hits.files, "recall": hits.recall, "recall_seen": hits.recall_seen}
            for emotion, hits in right.items()
        },
        "macro_recall": _mean([hits.recall for hits in right.values()]),
        "macro_recall_seen": _mean([hits.recall_seen for hits in right.values()]),
    }


def _balanced(
    readings: Sequence[Reading], dimension: str, above: frozenset[str], below: frozenset[str]
) -> dict[str, float | None]:
    """Mean of the recalls of both sides of a dimension, by the sign of its column."""
    high, low = _Hits(), _Hits()
    for item in readings:
        if item.emotion in above | below:
            answer = item.columns[dimension] > 0 if item.columns else None
            (high if item.emotion in above else low).add(answer, item.emotion in above, seen=not item.why)
    if not (high.files and low.files):
        return {dimension: None, f"{dimension}_seen": None}
    return {
        dimension: _mean([high.recall, low.recall]),
        f"{dimension}_seen": _mean([high.recall_seen, low.recall_seen]),
    }


@dataclass
class _Hits:
    """Right answers to the files of one class; None is no answer."""

    files: int = 0
    right: int = 0
    seen: int = 0
    right_seen: int = 0

    def add(self, answer: object, truth: object, seen: bool) -> None:
        self.files += 1
        self.right += answer == truth
        if answer is not None and seen:
            self.seen += 1
            self.right_seen += answer == truth

    @property
    def recall(self) -> float | None:
        return self.right / self.files if self.files else None

    @property
    def recall_seen(self) -> float | None:
        return self.right_seen / self.seen if self.seen else None


def _mean(parts: Sequence[float | None]) -> float | None:
    """Mean of the parts that are defined."""
    defined = [part for part in parts if part is not None]
    return fmean(defined) if defined else None
