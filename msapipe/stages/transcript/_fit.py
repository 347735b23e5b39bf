"""Whether the times of captions fit the length of the film, and in which unit or from which zero they count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from msapipe.stages.transcript._cues import _FASTEST, Cue
from msapipe.types import Word

# Ends of files and last cues never agree to the second.
_SLACK = 1.5
_HOUR = 3600.0
# Nobody takes so long for a word, in seconds: then the numbers are of another unit.
_SLOWEST = 20.0


@dataclass(frozen=True)
class Fitted:
    """Cues whose times count from the start of the film, in seconds.

    outside: words that were left out because they come after its end.   notes: sentence parts for the user.
    misfit: no cue fits; the words are of something else.
    """

    cues: list[Cue]
    notes: tuple[str, ...] = ()
    outside: int = 0
    misfit: bool = False


def fitted(cues: Sequence[Cue], length: float | None, bare: bool) -> Fitted:
    """The cues that begin within ``length`` seconds (None: not known, nothing is checked but the unit).

    Times that all lie behind the end, and fit when whole hours are taken off, as tapes of broadcasters count, are
    shifted. bare: the times are numbers without a unit; milliseconds are seen by their size.
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
    """Whether numbers are a thousand times too large: behind the end as seconds, and inside it as milliseconds."""
    if any(edge is not None and edge != int(edge) for cue in timed for edge in (cue.start, cue.end)):
        return False  # milliseconds have no fractions
    count = sum(len(cue.words) or len(cue.text.split()) for cue in timed)
    last = max(cue.last or 0.0 for cue in timed)
    said = sum((cue.end or cue.start or 0.0) - (cue.start or 0.0) for cue in timed)
    slow = said / max(count, 1) > _SLOWEST
    if length is None:
        return slow
    return (slow or last > length + _SLACK) and last > 100 and last / 1000 <= length + _SLACK


def _fits(cues: Sequence[Cue], length: float) -> bool:
    """Whether nine of ten cues lie within the film."""
    inside = sum((cue.start or 0.0) < length and (cue.last or 0.0) <= length + 10 * _SLACK for cue in cues)
    return inside * 10 >= len(cues) * 9


def _moved(cue: Cue, offset: float, scale: float) -> Cue:
    def at(edge: float | None) -> float | None:
        return None if edge is None else max(0.0, (edge - offset) * scale)

    words = tuple(replace(word, start=at(word.start), end=at(word.end)) for word in cue.words)
    return replace(cue, start=at(cue.start), end=at(cue.end), words=words)


def _within(cues: Sequence[Cue], length: float, notes: list[str]) -> Fitted:
    """Without what comes after the end; a cue that only stays longer than the film ends with it."""
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
            # Where the time is too short for its words, the later ones are not heard: their times tell which.
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
