"""A linear score over hashed n-grams of words and letters, the lexicon's statistics and a number a known word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from msapipe.stages.text._pocket_lexicon import negated

BUCKETS = 2**18

Buckets = NDArray[np.int64]


def word_buckets(tokens: Sequence[str]) -> Buckets:
    """Buckets of the 1- to 3-grams of words, and of the words behind a negator marked as such; each once."""
    grams = [" ".join(tokens[i : i + n]) for n in (1, 2, 3) for i in range(len(tokens) - n + 1)]
    grams += [f"not_{token}" for token, flipped in zip(tokens, negated(tokens), strict=True) if flipped]
    return np.unique(np.array([crc32(gram.encode()) % BUCKETS for gram in grams], np.int64))


def letter_buckets(tokens: Sequence[str]) -> Buckets:
    """Buckets of the 3- to 5-grams of letters within words, a space before and behind; each once."""
    return np.unique(np.array([bucket for token in tokens for bucket in _of_word(token)], np.int64))


@lru_cache(maxsize=20000)
def _of_word(token: str) -> tuple[int, ...]:
    padded = f" {token} "
    return tuple(
        crc32(padded[i : i + n].encode()) % BUCKETS for n in (3, 4, 5) for i in range(max(1, len(padded) - n + 1))
    )


def share(buckets: Buckets) -> float:
    """What each bucket of a text counts, so that long and short texts have one norm."""
    return float(1 / np.sqrt(max(1, len(buckets))))


@dataclass(frozen=True)
class LinearModel:
    """words, letters: (BUCKETS,) a weight per bucket. known: (V,) per word. statistics: (17,) weights."""

    words: NDArray[np.float32]
    letters: NDArray[np.float32]
    known: NDArray[np.float32]
    statistics: NDArray[np.float32]
    bias: float

    def score(self, tokens: Sequence[str], ids: NDArray[np.int64], statistics: NDArray[np.float32]) -> float:
        """The score of one text; ``ids`` are its words in the vocabulary, 0 where not known."""
        total = self.bias + float(self.statistics @ statistics)
        for table, buckets in ((self.words, word_buckets(tokens)), (self.letters, letter_buckets(tokens))):
            total += float(table[buckets].sum()) * share(buckets)
        there = ids[ids > 0]
        return total + (float(self.known[there].mean()) if len(there) else 0.0)
