"""Distribute a stretch of time among words."""

from __future__ import annotations

from dataclasses import replace

from msapipe.types import Word


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
