"""A table of clips with labels, words and file names; CSV with any separator, or Parquet."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msapipe.datasets._columns import LABELS, is_empty, number, places_of, split_of
from msapipe.datasets._lines import Record, Unreadable, cells_of, records, separator, text_of
from msapipe.errors import MissingLibrary, MsapipeError

NAMES = ("file", "id", "clip", "clip_id")


@dataclass(frozen=True)
class Row:
    """One line: the clip's name ("video/clip", or as written), its labels, split and words.

    group: its clips are never in two splits: the video, or all videos that share a speaker with it.
    file: its path as written, "" when its name tells.   clip: the column clip_id, "" without.
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


def rows(path: Path, columns: Sequence[str] = (), notes: list[str] | None = None) -> Iterator[Row | Unreadable]:
    """Every line of a table: columns by name, one of clip_id (with or without video_id), file, id.

    Also label, label_T, label_A, label_V, mode (train, valid, test), text, start and end in seconds, speaker (never in
    two splits that msapipe makes; existing splits stay); ids are text and keep leading zeros. Columns and splits may
    have synonyms (sentiment, validation); numbers may have a decimal comma. A clip's second line is unreadable; empty
    lines are skipped.
    columns: at least one of these is required.   notes: receives notes for the user on the whole table.
    Raises MsapipeError when the file is no such table.
    """
    said: list[str] = [] if notes is None else notes
    names, entries = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path, said)
    try:
        places, unread = places_of(names)
    except MsapipeError as error:
        raise MsapipeError(f"{path}: {error}") from error
    named = next((name for name in NAMES if name in places), None)
    if named is None or (columns and not set(places) & set(columns)):
        wanted = f"clip_id (or file, or id){' and ' + columns[0] if columns else ''}"
        raise MsapipeError(f"{path}: found the columns {', '.join(names) or 'none'}; expected {wanted}")
    if not set(places) & set(LABELS.values()):
        others = f"; these columns are not read: {', '.join(unread)}" if unread else ""
        said.append(f"{path.name} has no column label, so no clip has a label{others}")
    found = _read(entries, names, places, named, said)
    yield from _grouped(list(found)) if "speaker" in places else found


def _grouped(found: list[Row | Unreadable]) -> list[Row | Unreadable]:
    """The rows, with videos that share a speaker in one group, unless the table has splits."""
    read = [row for row in found if isinstance(row, Row)]
    if any(row.split for row in read):
        return found
    group = groups((row.video, row.speaker) for row in read)
    return [replace(row, group=group[row.video]) if isinstance(row, Row) else row for row in found]


Entries = Iterable[Record | Unreadable]


def _read(
    entries: Entries, names: Sequence[str], places: Mapping[str, int], named: str, notes: list[str]
) -> Iterator[Row | Unreadable]:
    seen: dict[str, int] = {}
    empty = 0
    for entry in entries:
        if isinstance(entry, Unreadable):
            yield entry
            continue
        if not any(cell.strip() for cell in entry.cells):
            empty += bool(entry.cells)  # a blank line has none
            continue
        try:
            row = _of_cells(entry, names, places, named)
        except ValueError as error:
            yield Unreadable(entry.line, str(error))
            continue
        name = unicodedata.normalize("NFC", row.name)
        if name in seen:
            yield Unreadable(entry.line, f"clip {row.name} stands on line {seen[name]} already")
        else:
            seen[name] = entry.line
            yield row
    if empty:
        notes.append(f"{empty} rows of empty cells are passed over")


def _of_cells(entry: Record, names: Sequence[str], places: Mapping[str, int], named: str) -> Row:
    """The row of a record; raises ValueError."""
    cells = entry.cells
    while len(cells) > len(names) and not cells[-1].strip():
        cells = cells[:-1]
    if len(cells) != len(names):
        what = "put cells with separators or line ends into quotes" if len(cells) > len(names) else "some are missing"
        raise ValueError(f"it has {len(cells)} cells, the header has {len(names)}; {what}")
    return _row(entry.line, {name: cells[place].strip() for name, place in places.items()}, named)


def _csv(path: Path, notes: list[str]) -> tuple[list[str], Entries]:
    text, said = text_of(path)
    notes += said
    lines = text.split("\n")
    first = next((at for at, line in enumerate(lines) if line.strip()), 0)
    comma = separator(lines[first])
    if lines[first].strip().lower()[:4] == "sep=" and len(lines[first].strip()) == 5:  # Excel's own first line
        comma, first = lines[first].strip()[4], first + 1
    if first >= len(lines) or not lines[first].strip():
        return [], ()
    header = next(records(lines[first : first + 1], 0, comma, lambda line: False))
    if isinstance(header, Unreadable):
        raise MsapipeError(f"{path}: cannot be read as a table of labels: line {first + 1}: {header.reason}")
    names = [name.strip() for name in header.cells]
    while names and not names[-1]:
        names.pop()  # Excel's empty columns; their cells must be empty too
    return names, records(lines, first + 1, comma, lambda line: _is_row(line, comma, names))


def _is_row(line: str, comma: str, names: Sequence[str]) -> bool:
    """Whether a line by itself is a row with a label or a split."""
    try:
        places, _ = places_of(names)
        named = next((name for name in NAMES if name in places), "")
        row = _of_cells(Record(0, cells_of(line, comma)), names, places, named)
    except (ValueError, KeyError, MsapipeError):
        return False
    return bool(row.labels or row.split)


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
    names = list(table.column_names)
    entries = (Record(line, [_text(entry[name]) for name in names]) for line, entry in enumerate(table.to_pylist(), 1))
    return names, entries


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    # Programs turn an integer column with an empty cell into floats.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _row(line: int, entry: Mapping[str, str], named: str) -> Row:
    given = {letter: number(column, entry.get(column, "")) for letter, column in LABELS.items()}
    labels = {letter: label for letter, label in given.items() if label is not None}
    split = split_of(entry.get("mode", ""))
    video, clip = (_slashes(entry.get(name, "")) for name in ("video_id", named))
    if is_empty(clip):
        raise ValueError(f"the column {named} is empty")
    video = "" if is_empty(video) else video
    start, end = (number(name, entry.get(name, "")) for name in ("start", "end"))
    if (start or 0.0) < 0 or (end is not None and end <= (start or 0.0)):
        raise ValueError(f"start {start} and end {end}: expected seconds, 0 <= start < end")
    name = f"{video}/{clip}" if video and named == "clip_id" else clip
    file = entry.get("file", "")
    text, speaker = entry.get("text", ""), entry.get("speaker", "")
    video = video or name
    return Row(line, name, video, video, labels, split, text, file, start, end, speaker, entry.get("clip_id", ""))


def _slashes(name: str) -> str:
    """A name with forward slashes only."""
    return name.replace("\\", "/")


def groups(seen: Iterable[tuple[str, str]]) -> dict[str, str]:
    """From pairs (video, speaker), each video to the name of its group: the least of all videos connected by speakers.

    Sharing is transitive: if a and b are in one video and b and c in another, all three are in one group. An empty
    speaker connects nothing.
    """
    above: dict[str, str] = {}  # a forest of videos and speakers, one tree per group

    def top(node: str) -> str:
        while above.setdefault(node, node) != node:
            above[node] = node = above[above[node]]
        return node

    videos = []
    for video, speaker in seen:
        videos.append(video)
        if speaker:
            above[top(f"s{speaker}")] = top(f"v{video}")
    least: dict[str, str] = {}
    for video in sorted(videos):
        least.setdefault(top(f"v{video}"), video)
    return {video: least[top(f"v{video}")] for video in videos}
