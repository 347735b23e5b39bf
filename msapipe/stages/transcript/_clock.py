"""Parse times in subtitle files."""

from __future__ import annotations

import re

_TIME = r"(-?)(?:(\d{1,3})\s?:\s?)?(\d{1,3})\s?:\s?(\d{1,2})(?:\s?[.,:;]\s?(\d{1,9}))?"
_PLAIN = r"(-?\d{1,6}(?:[.,]\d{1,9})?)\s?s?"
_ARROW = r"\s*(?:[-\u2010-\u2015\u2212=]{1,4}\s?(?:>|&gt;)|\u2192|\u21d2)\s*"
_CLOCKS = re.compile(rf"\s*{_TIME}{_ARROW}{_TIME}(?P<rest>\s.*|)$")
_COMMA = re.compile(rf"\s*{_TIME}\s*,\s*{_TIME}(?P<rest>\s*)$")
_NUMBERS = re.compile(rf"\s*{_PLAIN}\s*-->\s*{_PLAIN}(?P<rest>\s.*|)$")
_ONE = re.compile(rf"\s*{_TIME}\s*$")

Span = tuple[float, float, str]


def span_of(line: str) -> Span | None:
    """Start and end in seconds, and the rest of a line such as "00:00:01,000 --> 00:00:02,500 align:start".

    Also "0:00:01.000,0:00:02.500" and "1.0 --> 2.5"; None for a line without times. Times before zero are zero.
    """
    line = line[:400]
    match = _CLOCKS.match(line) or _COMMA.match(line)
    if match:
        parts = match.groups()
        return seconds(parts[:5]), seconds(parts[5:10]), match["rest"].strip()
    match = _NUMBERS.match(line)
    if match:
        start, end = (max(0.0, float(part.replace(",", "."))) for part in match.groups()[:2])
        return start, end, match["rest"].strip()
    return None


def clock(text: str) -> float | None:
    """Seconds of "0:00:01.50", or None."""
    match = _ONE.match(text[:60])
    return seconds(match.groups()) if match else None


def seconds(parts: tuple[str | None, ...]) -> float:
    """Sign, hours, minutes, seconds and fraction digits as seconds; negative times become zero."""
    sign, hours, minutes, secs, fraction = (part or "" for part in parts)
    total = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(secs or 0) + float(f"0.{fraction or 0}")
    return 0.0 if sign else total


def tag(milliseconds: float) -> str:
    """A WebVTT time tag, <00:00:01.500>, as ``_spoken`` reads it."""
    whole = round(milliseconds)
    return f"<{whole // 3600000 % 1000:02d}:{whole // 60000 % 60:02d}:{whole // 1000 % 60:02d}.{whole % 1000:03d}>"


def ordered(line: int | str, start: float, end: float, problems: list[str]) -> tuple[float, float]:
    """Start and end, swapped if the end precedes the start, which adds to ``problems``."""
    if end >= start:
        return start, end
    where = f"line {line}" if isinstance(line, int) else line
    problems.append(f"{where}: found an end of {end:g} s before the start of {start:g} s; they were exchanged")
    return end, start
