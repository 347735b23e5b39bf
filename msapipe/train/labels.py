"""label.csv: what people said of clips, found again among the features by name."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from msapipe.errors import MsapipeError
from msapipe.types import Sample

_COLUMNS = {"M": "label", "T": "label_T", "A": "label_A", "V": "label_V"}
_NAMES = ("file", "id", "clip", "clip_id")
_SPLITS = {"train": "train", "valid": "valid", "val": "valid", "dev": "valid", "test": "test"}


@dataclass(frozen=True)
class Row:
    """One line: the clip's name ("video/clip", or as it is written), its labels, split and words."""

    line: int
    name: str
    video: str
    labels: Mapping[str, float]
    split: str | None
    text: str


def read_labels(path: Path) -> list[Row]:
    """Read label.csv: columns by name, ``label`` and one of clip_id (with or without video_id), file, id.

    Also label_T, label_A, label_V, mode (train, valid, test) and text; ids are text, leading zeros stay. Raises
    MsapipeError naming the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            start = file.read(4096)
            file.seek(0)
            reader = csv.DictReader(file, dialect=_dialect(start))
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            named = next((name for name in _NAMES if name in columns), None)
            if named is None or not set(columns) & set(_COLUMNS.values()):
                raise MsapipeError(
                    f"{path}: found the columns {', '.join(columns) or 'none'}; "
                    "expected clip_id (or file, or id) and label"
                )
            rows = [_row(path, number, entry, named) for number, entry in enumerate(reader, 2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MsapipeError(f"{path}: cannot be read as a table of labels: {error}") from error
    seen: dict[str, int] = {}
    for row in rows:
        if row.name in seen:
            raise MsapipeError(f"{path}: line {row.line}: clip {row.name} stands on line {seen[row.name]} already")
        seen[row.name] = row.line
    return rows


def _dialect(start: str) -> type[csv.Dialect]:
    first = start.splitlines()[0] if start.splitlines() else ""

    class Found(csv.excel):
        delimiter = max(",;\t", key=first.count)

    return Found


def _row(path: Path, number: int, entry: Mapping[str, str | None], named: str) -> Row:
    labels: dict[str, float] = {}
    for letter, column in _COLUMNS.items():
        text = (entry.get(column) or "").strip()
        if not text:
            continue
        try:
            labels[letter] = float(text)
        except ValueError:
            labels[letter] = math.nan
        if not math.isfinite(labels[letter]):
            raise MsapipeError(f"{path}: line {number}: {column} is {text!r}, expected a number")
    mode = (entry.get("mode") or entry.get("split") or "").strip().lower()
    if mode and mode not in _SPLITS:
        raise MsapipeError(f"{path}: line {number}: mode is {mode!r}, expected train, valid or test")
    video, clip = (entry.get("video_id") or "").strip(), (entry.get(named) or "").strip()
    if not clip:
        raise MsapipeError(f"{path}: line {number}: the column {named} is empty")
    name = f"{video}/{clip}" if video and named == "clip_id" else clip
    return Row(number, name, video or name, labels, _SPLITS.get(mode), (entry.get("text") or "").strip())


def with_labels(samples: Iterable[Sample], rows: Iterable[Row], path: Path) -> tuple[list[Sample], list[str]]:
    """Samples with the labels of the rows that name them, and notes on what has no partner.

    A row "video/clip" fits a clip whose path ends so, with any ending (``Raw/video/clip.mp4``), or ``video$_$clip``.
    Raises MsapipeError when a row fits two clips.
    """
    samples = list(samples)
    known: dict[str, list[int]] = {}
    for number, sample in enumerate(samples):
        for name in _spellings(sample.id):
            known.setdefault(name, []).append(number)
    found: dict[int, Row] = {}
    lost: list[str] = []
    for row in rows:
        fits = known.get(row.name) or known.get(str(PurePosixPath(row.name).with_suffix(""))) or []
        if len(fits) > 1:
            both = " and ".join(samples[number].id for number in fits[:2])
            raise MsapipeError(
                f"{path}: line {row.line}: {row.name} fits {both}; add a video_id column, or whole paths"
            )
        if fits:
            found[fits[0]] = row
        else:
            lost.append(row.name)
    out = [_labelled(sample, found.get(number)) for number, sample in enumerate(samples)]
    bare = [sample.id for number, sample in enumerate(samples) if number not in found]
    notes = [_some(lost, "labels without features, left out")] if lost else []
    notes += [_some(bare, "clips without a label, used only where a model learns without")] if bare else []
    return out, notes


def _labelled(sample: Sample, row: Row | None) -> Sample:
    if row is None:
        return sample
    return replace(sample, labels=row.labels, split=row.split, video=row.video, text=row.text or sample.text)


def _spellings(clip: str) -> set[str]:
    """The names under which a clip may stand in a table."""
    whole = PurePosixPath(clip.replace("$_$", "/"))
    bare = whole.with_suffix("") if whole.name else whole
    return {clip, *("/".join(path.parts[-count:]) for path in (whole, bare) for count in range(1, len(path.parts) + 1))}


def _some(names: list[str], what: str) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} {what}: {', '.join(names[:3])}{more}"
