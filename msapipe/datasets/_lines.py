"""The lines of a CSV file as spreadsheets write them; an unclosed quote costs only its own line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from msapipe.encodings import decode_text
from msapipe.errors import MediaError, MsapipeError

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
# The most lines of one row of text; more mean an unclosed quote.
_MOST_LINES = 1000


@dataclass(frozen=True)
class Unreadable:
    """A line that is not a row: its number and the reason."""

    line: int
    reason: str


@dataclass(frozen=True)
class Record:
    """The cells of one row.   line: the number of its first line, from 1."""

    line: int
    cells: list[str]


def text_of(path: Path) -> tuple[str, list[str]]:
    """The text of a table, with newlines as line ends, and notes on how it was read. Raises MsapipeError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise MsapipeError(
            f"{path}: there is no such file; msapipe data new makes one for a folder of clips"
        ) from error
    except OSError as error:
        raise MsapipeError(f"{path}: cannot be read as a table of labels: {error}") from error
    if data.startswith(_WORKBOOKS):
        raise MsapipeError(f"{path}: this is a workbook, not a table of text; save its sheet as 'CSV UTF-8'")
    try:
        text, encoding = decode_text(data, ("zh", "en"))
    except MediaError as error:
        raise MsapipeError(f"{path}: cannot be read as a table of labels: {error}") from error
    sure = encoding.upper().startswith(("UTF-8", "UTF-16", "UTF-32")) and "damaged" not in encoding
    return text, [] if sure else [f"{path.name} is read as {encoding}; save it as UTF-8 if its words are wrong"]


def separator(header: str) -> str:
    """The separator of the columns."""
    return max(",;\t|", key=header.count)


def records(lines: list[str], first: int, comma: str, is_row: Callable[[str], bool]) -> Iterator[Record | Unreadable]:
    """Every row from line number ``first`` (from 0) on, in order; each line is part of a row, or refused.

    is_row: whether a line by itself is a row of the table with a label or a split. If several lines of a row are, a
    quote was not closed, and they are read as separate rows.
    """
    begin = first
    while begin < len(lines):
        start = begin
        reader = csv.reader((f"{line}\n" for line in lines[start:]), delimiter=comma, strict=True)
        try:
            for cells in reader:
                end = start + reader.line_num
                if end - begin > _MOST_LINES or _swallowed(lines[begin:end], is_row):
                    break
                yield Record(begin + 1, cells)
                begin = end
            else:
                return
        except csv.Error:
            end = start + reader.line_num
        yield Unreadable(begin + 1, _open_quote(begin + 1, end))
        begin += 1


def _swallowed(lines: list[str], is_row: Callable[[str], bool]) -> bool:
    return len(lines) > 1 and is_row(lines[0]) and any(map(is_row, lines[1:]))


def _open_quote(first: int, last: int) -> str:
    over = f" and swallows the lines up to {last}" if last > first else ""
    return f'a quote is not closed{over}, or stands within a cell; quote the whole cell, and write "" for each in it'


def cells_of(line: str, comma: str) -> list[str]:
    """The cells of a line by itself; an unclosed quote is an ordinary character."""
    try:
        return next(csv.reader([line.replace('"', "")], delimiter=comma, quoting=csv.QUOTE_NONE), [])
    except csv.Error:
        return []
