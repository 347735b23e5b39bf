"""Turn caption cues into words in spoken order, and cut words to a clip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from msapipe.stages._spread import share_out
from msapipe.stages.transcript._rolling import without_repeats
from msapipe.stages.transcript._spoken import names_in, spoken_lines
from msapipe.types import Clip, Word

# Least seconds per word: a cue overlapped by another may be shortened to this.
_FASTEST = 0.15
# Seconds per word if only the start of a cue is known.
_USUAL = 0.4


@dataclass(frozen=True)
class Cue:
    """A caption shown for some time.

    text: its lines, with markup.   start, end: seconds or None; without an end, a cue lasts until the next one.
    words: words with times of their own, if the file has them; they replace the text.
    """

    text: str
    start: float | None = None
    end: float | None = None
    words: tuple[Word, ...] = ()
    confidence: float | None = None

    @property
    def last(self) -> float | None:
        """Its last known time."""
        return self.end if self.end is not None else self.start


@dataclass
class Written:
    """The content of a transcript file.

    language: ISO 639-1, if the file states it.   problems: sentence parts, each with its line or place.
    bare: times are numbers without a unit, probably seconds.
    """

    cues: list[Cue]
    language: str | None = None
    problems: list[str] = field(default_factory=list)
    bare: bool = False


def words_of(cues: Sequence[Cue], length: float | None = None) -> list[Word]:
    """The words of all cues, in order of the cues' starts; the words of a cue stay together.

    Lines repeated by the next cue count once. Cues without times follow the previous cue. A cue's seconds are divided
    among its words by letters (estimated times), unless tags or the file give word times. length: of the video in
    seconds, if known; a last cue without an end stops there.
    """
    cues = with_ends(in_order(cues), length)
    speakers = names_in(cue.text for cue in cues if not cue.words)
    shown = without_repeats(
        [(cue.start, cue.end, [] if cue.words else spoken_lines(cue.text, speakers)) for cue in cues]
    )
    spoken = [(cue, list(cue.words) or shown[at]) for at, cue in enumerate(cues)]
    spoken = [(cue, words) for cue, words in spoken if words]
    return [word for cue, words in _apart(spoken) for word in _timed(cue, words)]


def in_order(cues: Sequence[Cue]) -> list[Cue]:
    """Sort by start; a cue without one stays behind its predecessor."""
    keys: list[float] = []
    for cue in cues:
        keys.append(cue.start if cue.start is not None else (keys[-1] if keys else 0.0))
    return [cues[at] for at in sorted(range(len(cues)), key=lambda at: keys[at])]


def with_ends(cues: list[Cue], length: float | None = None) -> list[Cue]:
    """Give cues without an end one: the start of the next cue, or earlier if their words need less time."""
    found: list[Cue] = []
    later = length
    for cue in reversed(cues):
        if cue.start is not None and cue.end is None:
            said = cue.start + max(1.0, 2 * _USUAL * len(cue.text.split()))
            cue = replace(cue, end=said if later is None else max(cue.start, min(later, said)))
        if cue.start is not None:
            later = cue.start
        found.append(cue)
    return found[::-1]


def _apart(spoken: list[tuple[Cue, list[Word]]]) -> list[tuple[Cue, list[Word]]]:
    """Remove overlaps: a cue ends where the next one starts if its words have enough time; else both share it."""
    found: list[tuple[Cue, list[Word]]] = []
    movable = False  # whether the words of the last cue have no times of their own
    for cue, words in spoken:
        before_moves, movable = movable, not cue.words and all(word.start is None for word in words)
        if before_moves and movable and _overlap(found[-1][0], cue):
            before, earlier = found.pop()
            if (cue.start or 0.0) - (before.start or 0.0) < _FASTEST * len(earlier):
                end = max(before.end or 0.0, cue.end or 0.0)
                earlier.extend(words)
                found.append((replace(before, end=end), earlier))
                continue
            found.append((replace(before, end=cue.start), earlier))
        found.append((cue, words))
    return found


def _overlap(before: Cue, after: Cue) -> bool:
    """Whether two cues are shown at the same time."""
    if before.end is None or after.start is None or after.end is None:
        return False
    return before.end > after.start


def _timed(cue: Cue, words: list[Word]) -> list[Word]:
    """The words of a cue with times: given ones stay, the time between them is divided by letters."""
    if cue.words or cue.start is None or cue.end is None:
        return [replace(word, confidence=cue.confidence) if word.confidence is None else word for word in words]
    words = [replace(word, confidence=cue.confidence) for word in words]
    if all(word.start is None for word in words):
        return share_out(words, cue.start, cue.end)
    found: list[Word] = []
    at, now = 0, cue.start
    while at < len(words):
        stop = next((i for i in range(at + 1, len(words)) if words[i].start is not None), len(words))
        given = words[at].start
        first = now if given is None else max(now, given)
        following = words[stop].start if stop < len(words) else None
        end = max(first, cue.end if following is None else min(following, cue.end))
        group = share_out([replace(word, start=None, end=None) for word in words[at:stop]], first, end)
        found += [replace(group[0], estimated=False)] if len(group) == 1 else group
        at, now = stop, end
    return found


def in_span(words: Iterable[Word], clip: Clip) -> tuple[Word, ...]:
    """Cut words, timed from the start of the file, to the clip, and make their times relative to it.

    A word belongs to the clip that contains its midpoint, so adjacent clips neither share nor lose words. A word
    without times follows the previous timed word; without one, it is kept only if the clip is the whole file.
    """
    keep = clip.start == 0 and clip.end is None
    kept: list[Word] = []
    for word in words:
        if word.start is None or word.end is None:
            kept += [word] if keep else []
            continue
        middle = (word.start + word.end) / 2
        keep = middle >= clip.start and (clip.end is None or middle < clip.end)
        if keep:
            start = max(word.start, clip.start) - clip.start
            end = (word.end if clip.end is None else min(word.end, clip.end)) - clip.start
            kept.append(replace(word, start=start, end=end))
    return tuple(kept)
