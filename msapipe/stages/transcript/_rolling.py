"""Remove repeated lines of rolling, growing and layered captions, so that each line counts once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msapipe.types import Word

Shown = tuple[float | None, float | None, list[list[Word]]]
# Cues this close, in seconds, are updates of one display.
_CLOSE = 0.1
# Cues this short carry no speech of their own: they show a line while it scrolls up.
_FLASH = 0.06
# Words; no screen shows more at once.
_LONGEST = 100


def without_repeats(cues: Sequence[Shown]) -> list[list[Word]]:
    """The words of each cue, in order of start, without those still shown from the previous cue.

    Words shared by the end of a cue and the beginning of the next one are repeats if the cues touch and the captions
    roll (time tags, flashes, or a line above a new one), or if the cues overlap.
    """
    rolling = _roll(cues)
    found: list[list[Word]] = []
    for at, (start, end, lines) in enumerate(cues):
        words = [word for line in lines for word in line]
        again = 0
        for before in _shown_before(cues, at):
            again = max(again, _again(cues[before], (start, end, lines), rolling))
        found.append(words[again:])
    return found


def _shown_before(cues: Sequence[Shown], at: int) -> list[int]:
    """Earlier cues that touch or overlap a cue: its layers, and the cue that it replaces."""
    start = cues[at][0]
    if start is None:
        return []
    near: list[int] = []
    for before in range(at - 1, max(-1, at - 6), -1):
        end = cues[before][1]
        if end is not None and end >= start - _CLOSE and cues[before][2]:
            near.append(before)
    return near


def _roll(cues: Sequence[Shown]) -> bool:
    """Whether a file has rolling captions: some words have times, or lines move up in a third of the cues."""
    if any(word.start is not None for _, _, lines in cues for line in lines for word in line):
        return True
    moved = 0
    full = [cue for cue in cues if cue[2]]
    for (_, end, before), (start, _, after) in pairwise(full):
        close = end is not None and start is not None and abs(start - end) <= _CLOSE
        moved += close and len(after) > 1 and _keys(before[-1]) == _keys(after[0])
    return moved >= 2 and moved * 3 >= len(full)


def _again(before: Shown, now: Shown, rolling: bool) -> int:
    """How many words at the beginning of a cue are still shown from the previous one."""
    old = [key for line in before[2] for key in _keys(line)]
    new = [key for line in now[2] for key in _keys(line)]
    begins = _edges(before[2])
    ends = _edges(now[2]) | {len(new)}
    start = now[0]
    overlap = start is not None and before[1] is not None and before[1] - start > _FLASH
    flash = any(a is not None and b is not None and b - a <= _FLASH for a, b, _ in (before, now))
    for count in range(min(len(old), len(new), _LONGEST), 0, -1):
        if old[-count:] != new[:count] or len(old) - count not in begins:
            continue
        whole = count in ends
        grown = count == len(old) < len(new)
        above = whole and count < len(new) and len(now[2]) > 1
        if (overlap and (whole or grown)) or ((rolling or flash) and whole) or above or (grown and count > 2):
            return count
    return 0


def _edges(lines: list[list[Word]]) -> set[int]:
    """The indices in a cue's words at which its lines begin."""
    edges, total = set(), 0
    for line in lines:
        edges.add(total)
        total += len(line)
    return edges


def _keys(line: list[Word]) -> list[str]:
    """Words without case and punctuation."""
    return ["".join(filter(str.isalnum, word.text)).lower() or word.text for word in line]
