"""A table of clips: what people said of them, their words, and where they lie; CSV with any separator, or Parquet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msapipe.datasets._speakers import groups
from msapipe.errors import MissingLibrary, MsapipeError

LABELS = {"M": "label", "T": "label_T", "A": "label_A", "V": "label_V"}
NAMES = ("file", "id", "clip", "clip_id")
SPLITS = {"train": "train", "valid": "valid", "val": "valid", "dev": "valid", "test": "test"}


@dataclass(frozen=True)
class Row:
    """One line: the clip's name ("video/clip", or as it is written), its labels, split and words.

    group: clips of one are never in two splits: that of the video, or of all videos that share a speaker with it.
    file: where it lies, as written, "" when its name says so.   clip: the column clip_id, "" where there is none.
    start, end: seconds in the video that it is cut from.
    """

    line: int
    name: str
    video: str
    group: str
    labels: Mapping[str, float]
    split: str | None
    text: str
    file: str = ""
    start: float | None = None
    end: float | None = None
    speaker: str = ""
    clip: str = ""


@dataclass(frozen=True)
class Unreadable:
    """A line that makes no row: its number and why."""

    line: int
    reason: str


def rows(path: Path, columns: Sequence[str] = ()) -> Iterator[Row | Unreadable]:
    """Every line of a table: columns by name, one of clip_id (with or without video_id), file, id.

    Also label, label_T, label_A, label_V, mode (train, valid, test), text, start and end in seconds, speaker (who is
    not to be in two splits that are made; given ones stay); ids are text, leading zeros stay. A clip that stands
    twice is unreadable the second time.
    columns: of these one must be there. Raises MsapipeError when the file is no such table.
    """
    names, entries = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    named = next((name for name in NAMES if name in names), None)
    if named is None or (columns and not set(names) & set(columns)):
        wanted = f"clip_id (or file, or id){' and ' + columns[0] if columns else ''}"
        raise MsapipeError(f"{path}: found the columns {', '.join(names) or 'none'}; expected {wanted}")
    found = _read(entries, names, named)
    yield from _grouped(list(found)) if "speaker" in names else found


def _grouped(found: list[Row | Unreadable]) -> list[Row | Unreadable]:
    """The rows, with videos that share a speaker in one group, unless there is a split."""
    read = [row for row in found if isinstance(row, Row)]
    if any(row.split for row in read):
        return found
    group = groups((row.video, row.speaker) for row in read)
    return [replace(row, group=group[row.video]) if isinstance(row, Row) else row for row in found]


Entries = Iterator[tuple[int, Mapping[str, str | None]]]


def _read(entries: Entries, names: Sequence[str], named: str) -> Iterator[Row | Unreadable]:
    seen: dict[str, int] = {}
    for line, entry in entries:
        try:
            row = _row(line, {name: (entry.get(name) or "").strip() for name in names}, named)
        except ValueError as error:
            yield Unreadable(line, str(error))
            continue
        if row.name in seen:
            yield Unreadable(line, f"clip {row.name} stands on line {seen[row.name]} already")
        else:
            seen[row.name] = line
            yield row


def _csv(path: Path) -> tuple[list[str], Entries]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), dialect=_dialect(text))
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        # A quoted text may hold line ends: the number is that of the line on which a row ends.
        entries = [(reader.line_num, entry) for entry in reader]
    except FileNotFoundError as error:
        raise MsapipeError(
            f"{path}: there is no such file; msapipe data new makes one for a folder of clips"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MsapipeError(f"{path}: cannot be read as a table of labels: {error}") from error
    return list(reader.fieldnames or ()), iter(entries)


def _dialect(text: str) -> type[csv.Dialect]:
    first = text.splitlines()[0] if text.splitlines() else ""

    class Found(csv.excel):
        delimiter = max(",;\t", key=first.count)

    return Found


def _parquet(path: Path) -> tuple[list[str], Entries]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError as error:
        raise MissingLibrary(f"{path}: Parquet needs pyarrow; type: uv pip install 'msapipe[parquet]'") from error
    try:
        table = read_table(path)
    except (OSError, ArrowException) as error:
        raise MsapipeError(f"{path}: cannot be read as a table of labels: {error}") from error
    entries = ({name: _text(value) for name, value in entry.items()} for entry in table.to_pylist())
    return list(table.column_names), enumerate(entries, 1)


def _text(value: Any) -> str:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _row(line: int, entry: Mapping[str, str], named: str) -> Row:
    labels = {
        letter: _number(entry, column) for letter, column in LABELS.items() if entry.get(column)
    }  # an empty cell is a label that nobody gave
    mode = (entry.get("mode") or entry.get("split") or "").lower()
    if mode and mode not in SPLITS:
        raise ValueError(f"mode is {mode!r}, expected train, valid or test")
    video, clip = entry.get("video_id", ""), entry[named]
    if not clip:
        raise ValueError(f"the column {named} is empty")
    start, end = (_number(entry, name) if entry.get(name) else None for name in ("start", "end"))
    if (start or 0.0) < 0 or (end is not None and end <= (start or 0.0)):
        raise ValueError(f"start {start} and end {end}: expected seconds, 0 <= start < end")
    name = f"{video}/{clip}" if video and named == "clip_id" else clip
    file = entry.get("file", "")
    text, speaker = entry.get("text", ""), entry.get("speaker", "")
    video = video or name
    return Row(
        line, name, video, video, labels, SPLITS.get(mode), text, file, start, end, speaker, entry.get("clip_id", "")
    )


def _number(entry: Mapping[str, str], column: str) -> float:
    try:
        found = float(entry[column])
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{column} is {entry[column]!r}, expected a number")
    return found
