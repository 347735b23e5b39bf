"""Read a transcript file of any supported format, detected by content rather than by name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from msapipe.encodings import decode_text
from msapipe.errors import MediaError
from msapipe.stages.transcript._cues import Cue, Written
from msapipe.stages.transcript._json import read_json
from msapipe.stages.transcript._lines import line_format, read_blocks, read_lines, read_table
from msapipe.stages.transcript._marked import read_ass, read_sami, read_xml

# Bytes: an hour of subtitles takes about 60,000; an hour of JSON words with times and probabilities 3,000,000.
MOST = {".json": 32_000_000, ".json3": 32_000_000}
MOST_ELSE = 4_000_000
MOST_WORDS = 100_000  # about ten hours of speech
MOST_LETTERS = 20_000  # without a space; a line of Chinese has none

_ASS = re.compile(r"^\s*(\[Script Info\]|\[Events\]|Dialogue:)", re.IGNORECASE | re.MULTILINE)
_ROOT = re.compile(r"<(?:\w+:)?(tt|transcript|timedtext)\b")
_SAMI = re.compile(r"<sami\b|<sync\b", re.IGNORECASE)


def read_file(path: Path, wanted: str, rate: float | None, languages: tuple[str, ...] = ()) -> Written | None:
    """The content of a file; None if it is empty.

    wanted: the language to select if the file has several.   rate: frames per second of the video, if known.
    languages: likely languages, to detect the encoding. Raises MediaError (without the file's name) if nothing can be
    read.
    """
    data = _bytes(path)
    text, encoding = decode_text(data, (*languages, wanted) if wanted else languages)
    if not text.strip():
        return None
    written = _read(text, path.suffix.lower(), wanted, rate)
    if "\ufffd" in text:
        line = text[: text.index("\ufffd")].count("\n") + 1
        written.problems.append(f"line {line}: found bytes that are no {encoding.split()[0]}")
    if encoding not in ("UTF-8", "UTF-16", "UTF-32", "cp1252"):
        written.problems.append(f"it was read as {encoding}")
    count = sum(len(cue.words) or len(cue.text.split()) for cue in written.cues)
    if max(count, len(written.cues)) > MOST_WORDS:
        count = max(count, len(written.cues))
        raise MediaError(f"it holds {count} words, more than the limit of {MOST_WORDS}; move it away if it is none")
    longest = max((len(piece) for cue in written.cues for piece in cue.text.split()), default=0)
    if longest > MOST_LETTERS:
        raise MediaError(f"it holds a word of {longest} letters; move it away if it is no text")
    return written


def _bytes(path: Path) -> bytes:
    """The bytes of a file within the size limit; it is read once, so it cannot grow in between."""
    most = MOST.get(path.suffix.lower(), MOST_ELSE)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)), "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise MediaError(f"it cannot be read ({error.strerror})") from error
    if len(data) > most:
        raise MediaError(f"it is larger than {most // 10**6} MB; move it away if it holds no words")
    return data


def _read(text: str, suffix: str, wanted: str, rate: float | None) -> Written:
    if suffix in (".json", ".json3"):
        return read_json(text)
    start = text.lstrip()[:2000]
    if start.startswith("<") or suffix in (".ttml", ".dfxp", ".xml", ".srv1", ".srv2", ".srv3"):
        return read_sami(text, wanted) if _SAMI.search(start) and not _ROOT.search(start) else read_xml(text, wanted)
    readers: dict[str, Callable[[], Written]] = {
        ".ass": lambda: read_ass(text),
        ".ssa": lambda: read_ass(text),
        ".tsv": lambda: read_table(text),
        ".smi": lambda: read_sami(text, wanted),
        ".sami": lambda: read_sami(text, wanted),
    }
    if _ASS.search(start):
        return read_ass(text)
    if start.startswith("{\\rtf"):
        raise MediaError("line 1: found rich text (RTF), expected plain text; save it as .txt")
    if suffix in readers:
        return readers[suffix]()
    by_line = line_format(text)
    if by_line and not (suffix == ".txt" and by_line == "lrc"):
        return read_lines(text, by_line, rate)
    if suffix == ".txt":
        return _plain(text)
    return read_blocks(text)


def _plain(text: str) -> Written:
    """Text without times, one cue per line; text with time lines is treated as a misnamed subtitle file."""
    if "-->" in text:
        try:
            return read_blocks(text)
        except MediaError:
            pass
    return Written([Cue(line) for line in text.split("\n") if line.strip()])
