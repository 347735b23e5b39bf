"""Reads transcripts in other programs' formats: JSON word lists, Whisper's JSON, WebVTT, SubRip, plain text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from msapipe.errors import MediaError
from msapipe.media.regular import named
from msapipe.stages.transcript._cues import words_of_cue
from msapipe.types import Word

_MOST = 1_000_000  # bytes; an hour of subtitles has some 60,000
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_CUE = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?$")
_LANGUAGE = re.compile(r"[a-z]{2}(?:-|$)")
_KIND = {".json": "JSON transcript", ".srt": "SubRip file", ".vtt": "WebVTT file"}


def read_words(path: Path) -> tuple[list[Word], str | None]:
    """The words of a file and their language; times count as in the file. Raises MediaError."""
    text = _text(path)
    if not text.strip():
        return [], None
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _json(path, text)
    if suffix in (".srt", ".vtt"):
        return _cues(path, text, vtt=suffix == ".vtt")
    return [Word(word) for word in text.split()], None


def _text(path: Path) -> str:
    """The file's text: UTF-16 or UTF-8 by its byte order mark, else UTF-8, else Latin-1."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise MediaError(f"{named(path)}: the transcript beside the clip cannot be read ({error.strerror})") from error
    if len(data) > _MOST:
        raise MediaError(
            f"{named(path)}: the transcript beside the clip is larger than 1 MB; move it away if it is none"
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    if "\0" in text:
        raise _wrong(path, text[: text.index("\0")].count("\n") + 1, "a zero byte", "text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _wrong(path: Path, line: int, found: str, expected: str) -> MediaError:
    kind = _KIND.get(path.suffix.lower(), "text file")
    return MediaError(
        f"{named(path)}, line {line}: found {found}, expected {expected}; mend this {kind} or move it away"
    )


# SubRip and WebVTT


def _cues(path: Path, text: str, vtt: bool) -> tuple[list[Word], str | None]:
    lines = text.split("\n")
    if vtt and not lines[0].startswith("WEBVTT"):
        raise _wrong(path, 1, repr(lines[0][:40]), "WEBVTT")
    words: list[Word] = []
    language = None
    block: list[tuple[int, str]] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            block.append((number, line))
            continue
        if block and vtt and block[0][0] == 1:
            language = _header_language(block)
        elif block and not (vtt and re.match(r"(NOTE|STYLE|REGION)\b", block[0][1])):
            words += words_of_cue(_cue(path, block))
        block = []
    # Overlapping cues (two speakers) may come in any order; a transcript is ordered.
    return sorted(words, key=lambda word: word.start or 0.0), language


def _header_language(block: list[tuple[int, str]]) -> str | None:
    for _, line in block:
        name, _, value = line.partition(":")
        if name.strip().lower() == "language":
            return _language(value.strip())
    return None


def _cue(path: Path, block: list[tuple[int, str]]) -> Word:
    """A block of lines: an optional name or number, the times, the text."""
    timing = next((i for i, (_, line) in enumerate(block[:2]) if "-->" in line), None)
    if timing is None:
        number, line = block[min(1, len(block) - 1)]
        raise _wrong(path, number, repr(line[:40]), "times such as 00:00:01,000 --> 00:00:02,500")
    number, line = block[timing]
    match = _CUE.match(line)
    if not match:
        raise _wrong(path, number, repr(line[:40]), "times such as 00:00:01,000 --> 00:00:02,500")
    start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
    if end < start:
        raise _wrong(path, number, f"an end of {end} s before the start of {start} s", "start --> end")
    return Word(" ".join(line for _, line in block[timing + 1 :]), start, end)


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")


# JSON


def _json(path: Path, text: str) -> tuple[list[Word], str | None]:
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(path, error.lineno, repr(text[error.pos : error.pos + 20]), error.msg) from None
    except (RecursionError, ValueError) as error:
        raise _wrong(path, 1, str(error), "a list of words") from None
    language = _language(tree.get("language")) if isinstance(tree, dict) else None
    words = [word for place, entry in _entries(path, tree) for word in _entry(path, place, entry)]
    if all(word.start is not None for word in words):  # two speakers may be listed one behind the other
        words.sort(key=lambda word: word.start or 0.0)
    return words, language


def _entries(path: Path, tree: Any) -> list[tuple[str, Any]]:
    """Words, and segments that list none, each with its place in the file."""
    if isinstance(tree, list):
        return [(f"entry {index}", entry) for index, entry in enumerate(tree)]
    if isinstance(tree, dict) and isinstance(tree.get("words"), list):
        return [(f"words[{index}]", entry) for index, entry in enumerate(tree["words"])]
    if isinstance(tree, dict) and isinstance(tree.get("segments"), list):
        found: list[tuple[str, Any]] = []
        for index, segment in enumerate(tree["segments"]):
            words = segment.get("words") if isinstance(segment, dict) else None
            if isinstance(words, list) and words:
                found += [(f"segments[{index}].words[{i}]", word) for i, word in enumerate(words)]
            else:
                found.append((f"segments[{index}]", segment))
        return found
    if isinstance(tree, dict) and isinstance(tree.get("text"), str):
        return [("text", {"text": tree["text"]})]
    raise _wrong(path, 1, f"JSON of type {type(tree).__name__}", 'a list of words, or {"segments": [...]}')


def _entry(path: Path, place: str, entry: Any) -> list[Word]:
    """One word, or a segment's text, which is spread like a cue."""
    if isinstance(entry, str):
        return [Word(text) for text in entry.split()]
    text = entry.get("word", entry.get("text")) if isinstance(entry, dict) else None
    if not isinstance(text, str):
        raise _bad_entry(path, place, repr(entry)[:40], '{"word": "...", "start": 0.0, "end": 0.5}')
    start, end = _number(path, place, entry, "start"), _number(path, place, entry, "end")
    if (start is None) != (end is None) or (start is not None and end is not None and not 0 <= start <= end):
        raise _bad_entry(path, place, f"start {start}, end {end}", "both with 0 <= start <= end, or neither")
    key = next((key for key in ("confidence", "probability", "score") if entry.get(key) is not None), "confidence")
    confidence = _number(path, place, entry, key)
    confidence = None if confidence is None else min(max(confidence, 0.0), 1.0)
    if len(text.split()) == 1:
        return [Word(text.strip(), start, end, confidence)]
    return words_of_cue(Word(text, start, end, confidence))


def _number(path: Path, place: str, entry: dict[str, Any], key: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    # The limit keeps integers out that no float can hold.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise _bad_entry(path, place, f"{key} {value!r}"[:60], "a number below 1e9")
    return float(value)


def _bad_entry(path: Path, place: str, found: str, expected: str) -> MediaError:
    return MediaError(f"{named(path)}, {place}: found {found}, expected {expected}; mend this file or move it away")


def _language(value: Any) -> str | None:
    """An ISO 639-1 code of a tag such as "en" or "en-US"; Whisper's "english" counts too."""
    names = {"english": "en", "chinese": "zh", "german": "de", "french": "fr", "spanish": "es", "japanese": "ja"}
    text = value.lower() if isinstance(value, str) else ""
    text = names.get(text, text)
    return text[:2] if _LANGUAGE.match(text) else None
