"""Caption cues to words in the order in which they are said, and words cut to a clip's span."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from msapipe.stages._spread import share_out
from msapipe.stages.transcript._rolling import without_repeats
from msapipe.stages.transcript._spoken import names_in, spoken_lines
from msapipe.types import Clip, Word

# Nobody says a word faster: a cue that another one overlaps may be as short as this a word.
_FASTEST = 0.15
# What a word takes, where only the start of a cue is known.
_USUAL = 0.4


@dataclass(frozen=True)
class Cue:
    """What stands on the screen for a while.

    text: its lines, with the marks that the file gives.   start, end: seconds, None when not known; a start without
    an end lasts until the next cue.   words: where the file gives each word's own times; they count then, not text.
    """

    text: str
    start: float | None = None
    end: float | None = None
    words: tuple[Word, ...] = ()
    confidence: float | None = None

    @property
    def last(self) -> float | None:
        """Where it ends, as far as that is known."""
        return self.end if self.end is not None else self.start


@dataclass
class Written:
    """What a file says.

    language: ISO 639-1, when the file says it.   problems: sentence parts, each with its line or place.
    bare: times are numbers without a unit, seconds most likely.
    """

    cues: list[Cue]
    language: str | None = None
    problems: list[str] = field(default_factory=list)
    bare: bool = False


def words_of(cues: Sequence[Cue], length: float | None = None) -> list[Word]:
    """The words of all cues, cue after cue by their starts; the words of a cue stay together.

    Lines that are shown again by the next cue count once. Cues without times follow the cue before them. Seconds are
    shared out among words by letters, so they are estimated, unless tags or the file give them. length: of the film in
    seconds, where known; a last cue without an end does not go beyond it.
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
    """By start; what has none keeps its place behind the one before."""
    keys: list[float] = []
    for cue in cues:
        keys.append(cue.start if cue.start is not None else (keys[-1] if keys else 0.0))
    return [cues[at] for at in sorted(range(len(cues)), key=lambda at: keys[at])]


def with_ends(cues: list[Cue], length: float | None = None) -> list[Cue]:
    """Cues of which only the start is known end where the next one begins, or when their words are said."""
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
    """Cues without overlap: one gives way to the next where its words have time enough, else both share their time."""
    found: list[tuple[Cue, list[Word]]] = []
    movable = False  # whether the last one's words have no times of their own
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
    """Whether two cues are shown at once."""
    if before.end is None or after.start is None or after.end is None:
        return False
    return before.end > after.start


def _timed(cue: Cue, words: list[Word]) -> list[Word]:
    """The words of a cue with times: the given ones, and what lies between them shared out by letters."""
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
    """Words whose times count from the start of the file, cut to the clip and counted from its start.

    A word belongs to the clip that holds its middle, so that neighbouring clips share no word and lose none.
    A word without times goes where the timed word before it goes; one that none comes before is kept only when the
    clip is the whole file.
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
