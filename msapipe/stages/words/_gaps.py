"""Estimate the times of words that have none from their neighbours."""

from __future__ import annotations

from itertools import groupby

from msapipe.stages._spread import share_out
from msapipe.types import Word

SECONDS_A_WORD = 0.4  # 150 words a minute, if nothing else is known


def fill_gaps(words: tuple[Word, ...], seconds: float | None) -> tuple[Word, ...]:
    """Give all words times: known ones stay; words without times divide the gap around them by letters.

    seconds: the length of the clip, for words after the last timed one; None if unknown.
    """
    out: list[Word] = []
    groups = [(timed, list(run)) for timed, run in groupby(words, key=lambda word: word.start is not None)]
    for index, (timed, run) in enumerate(groups):
        if timed:
            out += run
            continue
        left = (out[-1].end or 0.0) if out else 0.0
        if index + 1 < len(groups):
            right = groups[index + 1][1][0].start or 0.0
            left = min(left, right)
        else:
            right = max(left, seconds or 0.0)
            right = right if right > left else left + SECONDS_A_WORD * len(run)
        out += share_out(run, left, right)
    return tuple(out)
