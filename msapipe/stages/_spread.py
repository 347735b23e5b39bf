"""Distribute stretches of time among words that have no times."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from msapipe.types import Word

SECONDS_A_WORD = 0.4  # 150 words a minute, if nothing else is known


def share_out(words: list[Word], start: float, end: float) -> list[Word]:
    """Place the words in sequence from ``start`` to ``end`` seconds, in proportion to their letters and digits.

    The times are marked as estimated. A lone punctuation mark has length zero.
    """
    letters = [0]
    for word in words:
        letters.append(letters[-1] + sum(char.isalnum() for char in word.text))
    scale = (end - start) / max(letters[-1], 1)
    edges = [min(start + scale * count, end) for count in letters]
    return [
        replace(word, start=first, end=last, estimated=True)
        for word, first, last in zip(words, edges[:-1], edges[1:], strict=True)
    ]


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
