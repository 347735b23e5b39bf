"""Times of words and of their tokens, and the sentences that words form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from msapipe.types import Word

# Least duration of a token in seconds, and of the gap after a special token: twice the duration that resampling gives
# an instant, so that rows do not overlap.
_APART = 2e-6


def word_times(words: Sequence[Word]) -> NDArray[np.float64]:
    """Start and end of each word (seconds), never decreasing; words of overlapping speakers keep their order."""
    times = np.zeros((len(words), 2))
    last = 0.0
    for row, word in zip(times, words, strict=True):
        start = max(last, word.start if word.start is not None else last)
        row[:] = start, max(start, word.end if word.end is not None else start)
        last = start
    return times


def sentences(words: Sequence[Word], pause: float, no_end: Callable[[str], bool]) -> list[tuple[int, int]]:
    """Index ranges that cover all words and end after . ! ? or an ellipsis; in a text without any, after pauses.

    pause: seconds between words with measured times.   no_end: whether a word (lower case, without closing quotes and
    brackets) ends no sentence in spite of its sign.
    """
    bare = [word.text.rstrip("\"'”’»)]}").lower() for word in words]
    ends = [i + 1 for i, text in enumerate(bare) if text.endswith((".", "!", "?", "…")) and not no_end(text)]
    if not ends:
        ends = [
            i + 1
            for i, (a, b) in enumerate(pairwise(words))
            if a.timed and b.timed and (b.start or 0.0) - (a.end or 0.0) > pause
        ]
    return list(pairwise(sorted({0, *ends, len(words)})))


def piece_times(words: Sequence[Word], word_of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Start and end of each token (seconds): consecutive, without overlaps or empty tokens.

    word_of: (N,) index of the word that a token belongs to, -1 for a special token, which is an instant, start = end.

    The tokens of a word share its time equally; a word ends at the latest where the next one begins. Words with the
    same start (a word without times starts with the previous one) share their time as if they were one word.
    """
    starts, ends = word_times(words).T
    times = np.zeros((len(word_of), 2))
    spoken = word_of[word_of >= 0]
    now = float(starts[spoken[0]]) if len(spoken) else 0.0
    at = 0
    while at < len(word_of):
        if word_of[at] < 0:
            times[at] = now
            now += _APART
            at += 1
            continue
        start, stop = starts[word_of[at]], at
        while stop < len(word_of) and word_of[stop] >= 0 and starts[word_of[stop]] == start:
            stop += 1
        end = float(ends[word_of[at:stop]].max())
        if stop < len(word_of) and word_of[stop] >= 0:
            end = min(end, float(starts[word_of[stop]]))
        first = max(float(start), now)
        edges = np.linspace(first, max(end, first + (stop - at) * _APART), stop - at + 1)
        times[at:stop] = np.stack([edges[:-1], edges[1:]], axis=1)
        now, at = float(edges[-1]), stop
    return times
