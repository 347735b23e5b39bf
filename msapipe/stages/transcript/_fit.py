"""Check caption times against the length of the video, and detect their unit and origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from msapipe.stages.transcript._cues import _FASTEST, Cue
from msapipe.types import Word

# Tolerance in seconds between the end of the file and the last cue.
_SLACK = 1.5
_HOUR = 3600.0
# Most seconds per word; larger values mean another time unit.
_SLOWEST = 20.0


@dataclass(frozen=True)
class Fitted:
    """Cues timed in seconds from the start of the video.

    outside: words dropped because they come after the end.   notes: sentence parts for the user.
    misfit: no cue fits; the words belong to something else.
    """

    cues: list[Cue]
    notes: tuple[str, ...] = ()
    outside: int = 0
    misfit: bool = False


def fitted(cues: Sequence[Cue], length: float | None, bare: bool) -> Fitted:
    """The cues that start within ``length`` seconds (None: unknown, only the unit is checked).

    Times that all lie after the end, but fit once whole hours are subtracted (broadcast time codes), are shifted.
    bare: the times are numbers without a unit; milliseconds are detected by their size.
    """
    notes: list[str] = []
    timed = [cue for cue in cues if cue.start is not None]
    if timed and bare and _in_milliseconds(timed, length):
        notes.append("its times are milliseconds, and were read so")
        cues = [_moved(cue, 0.0, 0.001) for cue in cues]
        timed = [cue for cue in cues if cue.start is not None]
    if length is None or not timed:
        return Fitted(list(cues), tuple(notes))
    first = min(cue.start or 0.0 for cue in timed)
    if first >= length:
        hours = int(first // _HOUR)
        if not hours or not _fits([_moved(cue, hours * _HOUR, 1.0) for cue in timed], length):
            return Fitted([], (*notes, _behind(first, length)), len(timed), misfit=True)
        notes.append(f"its times begin at {first:.1f} s; {hours} h were taken off, and they fit")
        cues = [_moved(cue, hours * _HOUR, 1.0) for cue in cues]
    return _within(cues, length, notes)


def _behind(first: float, length: float) -> str:
    return f"all its words come after the end: the first at {first:.1f} s, and the clip is {length:.1f} s long"


def _in_milliseconds(timed: Sequence[Cue], length: float | None) -> bool:
    """Whether numbers are milliseconds: after the end if read as seconds, and within it if divided by a thousand."""
    if any(edge is not None and edge != int(edge) for cue in timed for edge in (cue.start, cue.end)):
        return False  # milliseconds are whole numbers
    count = sum(len(cue.words) or len(cue.text.split()) for cue in timed)
    last = max(cue.last or 0.0 for cue in timed)
    said = sum((cue.end or cue.start or 0.0) - (cue.start or 0.0) for cue in timed)
    slow = said / max(count, 1) > _SLOWEST
    if length is None:
        return slow
    return (slow or last > length + _SLACK) and last > 100 and last / 1000 <= length + _SLACK


def _fits(cues: Sequence[Cue], length: float) -> bool:
    """Whether nine of ten cues lie within the video."""
    inside = sum((cue.start or 0.0) < length and (cue.last or 0.0) <= length + 10 * _SLACK for cue in cues)
    return inside * 10 >= len(cues) * 9


def _moved(cue: Cue, offset: float, scale: float) -> Cue:
    def at(edge: float | None) -> float | None:
        return None if edge is None else max(0.0, (edge - offset) * scale)

    words = tuple(replace(word, start=at(word.start), end=at(word.end)) for word in cue.words)
    return replace(cue, start=at(cue.start), end=at(cue.end), words=words)


def _within(cues: Sequence[Cue], length: float, notes: list[str]) -> Fitted:
    """Drop cues after the end; a cue that merely lasts longer is cut."""
    kept: list[Cue] = []
    outside = 0
    gone = False
    for cue in cues:
        gone = cue.start >= length if cue.start is not None else gone
        count = len(cue.words) or len(cue.text.split())
        if gone:
            outside += count
            continue
        if cue.words:
            inside = _words_within(cue.words, length)
            outside += len(cue.words) - len(inside)
            cue = replace(cue, words=inside)
        elif cue.start is not None and cue.end is not None and cue.end > length:
            # If a cue is too short for its words, the later ones are cut off; the word times tell which.
            fits = length - cue.start >= _FASTEST * count or cue.end <= length + _SLACK
            cue = replace(cue, end=length) if fits else cue
        kept.append(cue)
    if outside:
        notes.append(f"{outside} words come after the end of the clip ({length:.1f} s) and do not count")
    return Fitted(kept, tuple(notes), outside)


def _words_within(words: Sequence[Word], length: float) -> tuple[Word, ...]:
    kept: list[Word] = []
    inside = True
    for word in words:
        inside = word.start < length if word.start is not None else inside
        kept += [word] if inside else []
    return tuple(kept)
