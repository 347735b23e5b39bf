"""Subtitles whose cues start with a time line (SubRip, WebVTT, SBV, SubViewer), and one-cue-per-line formats."""

from __future__ import annotations

import re

from msapipe.errors import MediaError
from msapipe.languages import language_code
from msapipe.stages.transcript._clock import clock, ordered, span_of
from msapipe.stages.transcript._cues import Cue, Written

_ASIDE = re.compile(r"(NOTE|STYLE|REGION)(\s|$)")
# Settings after the times in SubRip and WebVTT: X1:40, align:start, position:0%.
_SETTINGS = re.compile(r"(?:[A-Za-z][\w-]*\d?:\S*\s*)*")
_NUMBER = re.compile(r"\s*\d{1,9}\s*")
_MICRODVD = re.compile(r"\s*\{(\d{1,9})\}\{(\d{0,9})\}(.*)")
_MPL2 = re.compile(r"\s*\[(-?\d{1,9})\]\[(-?\d{0,9})\](.*)")
_TMP = re.compile(r"\s*(\d{1,2}:\d{2}:\d{2})(?:,\d+)?[:=]\s?(\S.*)")
_LRC = re.compile(r"\s*\[(\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?)\]")
# Most times on one line of lyrics; a refrain is sung about ten times.
_MOST_STARTS = 100
_LRC_HEADER = re.compile(r"\s*\[([a-zA-Z#]\w*)\s*:(.*)\]\s*$")


def read_blocks(text: str) -> Written:
    """Cues that start with a time line; the text up to the next time line belongs to the cue, even after blank lines.

    Cue numbers, cue names, notes and styles are dropped. Raises MediaError if no line holds times.
    """
    lines = text.split("\n")
    webvtt = lines[0].lstrip().upper().startswith("WEBVTT")
    written = Written([])
    marks = _timings(lines, written.problems)
    if not any(span is not None for _, span in marks):
        at = next((number for number, line in enumerate(lines) if line.strip()), 0)
        raise MediaError(
            f"line {at + 1}: found {lines[at].strip()[:40]!r}, expected times such as 00:00:01,000 --> 00:00:02,500"
        )
    first = marks[0][0]
    above = _last(lines[:first])
    numbered = _NUMBER.fullmatch(above) is not None
    # A file that names its first cue names all of them; otherwise, such a line is text after a blank line.
    name = webvtt and first > 1 and lines[first - 1].strip() and "-->" not in above and not numbered
    _header(lines[:first], webvtt, written)
    ends = [at for at, _ in marks[1:]] + [len(lines)]
    for (at, span), end in zip(marks, ends, strict=True):
        body = _body(lines[at + 1 : end], webvtt, numbered, bool(name), end < len(lines))
        if span is None:
            written.cues.append(Cue(body))
            continue
        rest = span[2]
        if rest and not webvtt and not _SETTINGS.fullmatch(rest):
            body = f"{rest}\n{body}"  # the text is on the time line
        start, stop = ordered(at + 1, span[0], span[1], written.problems)
        written.cues.append(Cue(body, start, stop))
    return written


def _timings(lines: list[str], problems: list[str]) -> list[tuple[int, tuple[float, float, str] | None]]:
    """The lines that hold times, including malformed ones."""
    marks: list[tuple[int, tuple[float, float, str] | None]] = []
    for at, line in enumerate(lines):
        span = span_of(line)
        if span is None and "-->" not in line:
            continue
        if span is None:
            problems.append(
                f"line {at + 1}: found {line.strip()[:40]!r}, expected times such as 00:00:01,000 --> 00:00:02,500; "
                "the words under it have none"
            )
        marks.append((at, span))
    return marks


def _header(lines: list[str], webvtt: bool, written: Written) -> None:
    """Parse the lines before the first times: in WebVTT the language, otherwise there should be none."""
    for number, line in enumerate(lines, 1):
        name, _, value = line.partition(":")
        if name.strip().lower() == "language":
            written.language = written.language or language_code(value)
        if not webvtt and line.strip() and not _NUMBER.fullmatch(line) and not re.match(r"\s*\[[A-Z ]+\]", line):
            written.problems.append(
                f"line {number}: found {line.strip()[:40]!r} before the first times; it was left out"
            )


def _body(lines: list[str], webvtt: bool, numbered: bool, named: bool, more: bool) -> str:
    """The text of a cue, without the number or name of the next cue, notes and styles."""
    kept: list[str] = []
    blank = aside = False
    for line in lines:
        if not line.strip():
            aside = False
        elif webvtt and blank and _ASIDE.match(line):
            aside = True
        if not aside:
            kept.append(line)
        blank = not line.strip()
    if more and kept:
        last = next((at for at in range(len(kept) - 1, -1, -1) if kept[at].strip()), 0)
        name = named and last == len(kept) - 1 and last > 0 and not kept[last - 1].strip()
        if name or (numbered and _NUMBER.fullmatch(kept[last])):
            kept = kept[:last]
    return "\n".join(line for line in kept if line.strip()).replace("[br]", "\n")


def _last(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if line.strip()), "")


# Formats with one cue per line


def line_format(text: str) -> str | None:
    """ "microdvd", "mpl2", "tmp" or "lrc" if most of the first lines match, else None."""
    lines = [line for line in text.split("\n")[:60] if line.strip()]
    for name, pattern in (("microdvd", _MICRODVD), ("mpl2", _MPL2), ("tmp", _TMP), ("lrc", _LRC)):
        fitting = sum(pattern.match(line) is not None for line in lines)
        headers = sum(name == "lrc" and _LRC_HEADER.match(line) is not None for line in lines)
        if fitting and 2 * fitting > len(lines) - headers:
            return name
    return None


def read_lines(text: str, name: str, rate: float | None) -> Written:
    """A file with one cue per line. rate: frames per second of the video, for MicroDVD, which counts frames."""
    written = Written([])
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if name == "lrc":
        return _lyrics(lines, written)
    unit = 0.1
    pattern = {"microdvd": _MICRODVD, "mpl2": _MPL2, "tmp": _TMP}[name]
    if name == "microdvd":
        lines, unit = _picture_length(lines, rate, written.problems)
    for number, line in lines:
        match = pattern.match(line)
        if match is None:
            written.problems.append(f"line {number}: found {line.strip()[:40]!r}, expected times; it was left out")
        elif name == "tmp":
            written.cues.append(Cue(match[2].replace("|", "\n"), clock(match[1])))
        else:
            start = max(0.0, int(match[1]) * unit)
            body = "\n".join(part.strip().removeprefix("/") for part in match[3].split("|"))
            if match[2]:
                start, end = ordered(number, start, max(0.0, int(match[2]) * unit), written.problems)
                written.cues.append(Cue(body, start, end))
            else:
                written.cues.append(Cue(body, start))
    return written


def _picture_length(
    lines: list[tuple[int, str]], rate: float | None, problems: list[str]
) -> tuple[list[tuple[int, str]], float]:
    """Seconds per frame: from the first line ({1}{1}23.976), else the video's frame rate, else a guess."""
    match = _MICRODVD.match(lines[0][1]) if lines else None
    stated = re.fullmatch(r"\s*(\d{1,3}(?:[.,]\d{1,6})?)\s*(?:fps)?\s*", match[3]) if match else None
    if match and stated and match[1] == match[2] and float(stated[1].replace(",", ".")) > 0:
        return lines[1:], 1 / float(stated[1].replace(",", "."))
    if not rate:
        problems.append("it counts pictures and does not say how many a second; taken as 25")
    return lines, 1 / (rate or 25.0)


def _lyrics(lines: list[tuple[int, str]], written: Written) -> Written:
    """LRC: a line has one or more starts; word times are in <>."""
    offset = 0.0
    for number, line in lines:
        starts: list[float] = []
        at = 0
        while len(starts) < _MOST_STARTS and (match := _LRC.match(line, at)):
            minutes, secs = match[1].split(":", 1)
            starts.append(int(minutes) * 60 + float(secs.replace(":", ".")))
            at = match.end()
        rest = line[at:]
        header = None if starts else _LRC_HEADER.match(line)
        if header:
            if header[1].lower() == "offset" and re.fullmatch(r"\s*[+-]?\d{1,7}\s*", header[2]):
                offset = int(header[2]) / 1000
            elif header[1].lower() in ("la", "language"):
                written.language = language_code(header[2])
        elif not starts:
            written.problems.append(f"line {number}: found {line.strip()[:40]!r}, expected [mm:ss.xx]; it was left out")
        written.cues += [Cue(rest, max(0.0, start - offset)) for start in starts]
    return written


def read_table(text: str) -> Written:
    """Whisper's .tsv (start, end, text; milliseconds) and label lists (seconds): tab-separated, one cue per line."""
    written = Written([], bare=True)
    rows = [(number, line.split("\t")) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    head = [cell.strip().lower() for cell in rows[0][1]]
    columns = {"start": 0, "end": 1, "text": 2}
    named = "text" in head or "start" in head
    if named:
        for name in columns:
            columns[name] = next((at for at, cell in enumerate(head) if cell.split("_")[0] == name), -1)
        rows = rows[1:]
    if -1 in columns.values():
        raise MediaError(f"line 1: found the columns {', '.join(head)[:60]}, expected start, end and text")
    whole = True
    for number, cells in rows:
        try:
            start, end = (float(cells[columns[name]].replace(",", ".")) for name in ("start", "end"))
            said = cells[columns["text"]]
            if not (0 <= start < 1e9 and 0 <= end < 1e9):
                raise ValueError
        except (ValueError, IndexError):
            found = "\t".join(cells)[:40]
            written.problems.append(f"line {number}: found {found!r}, expected start, end and text; it was left out")
            continue
        whole = whole and "." not in cells[columns["start"]]
        start, end = ordered(number, start, end, written.problems)
        written.cues.append(Cue(said, start, end))
    if named and whole:  # as Whisper writes them
        written.cues = [Cue(cue.text, (cue.start or 0) / 1000, (cue.end or 0) / 1000) for cue in written.cues]
    if not written.cues:
        raise MediaError(f"line 1: found {text[:40]!r}, expected start, end and text with tabs between")
    return written
