"""Normalise text for the sentiment models, and cut it into passages."""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from msapipe.stages.text._times import sentences, word_times
from msapipe.types import FeatureSequence, Transcript, Word

NAMES = ("score", "known", "length")
LIMIT = 3.0  # scale of CMU-MOSI
HEARD = 0.25  # value of ``known`` for recognised words without a confidence

PASSAGE_WORDS = 60  # longest passage: few labelled utterances are longer
MOST_PIECES = 254  # most word pieces per forward pass
PAUSE = 0.6  # seconds of silence that end a sentence in text without punctuation

# English texts of at least this many words have fewer word pieces per word than this: 99.9 % of CMU-MOSI's and MOSEI's,
# but only one of thirteen sentences tried in other European languages.
LEAST_WORDS, FOREIGN = 6, 1.55
_LETTERS = re.compile(r"[^\W\d_]+")

# Characters used for an apostrophe.
_APOSTROPHES = str.maketrans(
    dict.fromkeys("\N{RIGHT SINGLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}`\N{ACUTE ACCENT}", "'")
)


def normal(text: str) -> str:
    """Text as the models expect it: lower case, plain apostrophes, single spaces."""
    return " ".join(text.lower().translate(_APOSTROPHES).split())


def latin_share(text: str) -> float:
    """Share of Latin letters, accented ones included; 1 for a text without letters."""
    letters = [char for char in text if char.isalpha()]
    latin = sum("LATIN" in unicodedata.name(char, "") for char in letters)
    return latin / len(letters) if letters else 1.0


def passages(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Index ranges that cover all words, of at most about PASSAGE_WORDS words.

    A short text is one passage. A longer one is cut after sentences, as many per passage as fit; a sentence that does
    not fit is cut into equal parts. A ``Word`` that holds a caption of many words is never cut.
    """
    lengths = [max(1, len(word.text.split())) for word in words]
    if sum(lengths) <= PASSAGE_WORDS:
        return [(0, len(words))] if words else []
    pieces = [part for first, last in sentences(words, PAUSE, lambda _: False) for part in _parts(lengths, first, last)]
    found: list[tuple[int, int]] = []
    for first, last in pieces:
        if found and sum(lengths[found[-1][0] : last]) <= PASSAGE_WORDS:
            found[-1] = found[-1][0], last
        else:
            found.append((first, last))
    return found


def _parts(lengths: list[int], first: int, last: int) -> list[tuple[int, int]]:
    """Cut a sentence into the fewest equal parts below the limit."""
    count = min(last - first, -(-sum(lengths[first:last]) // PASSAGE_WORDS))
    edges = [first + (last - first) * i // count for i in range(count + 1)]
    return list(pairwise(edges))


class TextReader(ABC):
    """Scores text normalised by ``normal``, via the word pieces of a tokenizer."""

    @abstractmethod
    def cut(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""

    @abstractmethod
    def score_pieces(self, pieces: Sequence[int]) -> float:
        """Sentiment of at most MOST_PIECES word pieces, on the scale of CMU-MOSI."""

    @abstractmethod
    def unknown(self) -> int | None:
        """The id of the unknown token."""

    def score(self, text: str) -> float:
        """Sentiment of a text; a long one is scored in equal parts, weighted by their word pieces."""
        pieces = self.cut(text)
        parts = np.array_split(np.array(pieces, np.int64), max(1, -(-len(pieces) // MOST_PIECES)))
        scores = [self.score_pieces(part.tolist()) for part in parts]
        return float(np.average(scores, weights=[len(part) + 2 for part in parts]))

    def known(self, text: str) -> float:
        """Share of word pieces that are in the vocabulary, in [0, 1]; 0 for a text without any."""
        pieces = self.cut(text)
        return sum(piece != self.unknown() for piece in pieces) / max(len(pieces), 1)


def score_passages(words: Transcript, reader: TextReader) -> FeatureSequence:
    """One row per word, (T, 3), columns NAMES: score of its passage, trust in the word, log(1 + words of the passage).

    If the text is not English, no row is valid, and a note says why.
    """
    values = np.zeros((len(words.words), len(NAMES)), np.float32)
    valid = np.zeros(len(values), bool)
    times = word_times(words.words)
    if note := _not_english(words, reader):
        return FeatureSequence(values, times, valid, NAMES, notes=(note,))
    for first, last in passages(words.words):
        passage = words.words[first:last]
        text = normal(" ".join(word.text for word in passage))
        if not any(letter.isalnum() for letter in text):
            continue
        values[first:last, 0] = min(max(reader.score(text), -LIMIT), LIMIT)
        values[first:last, 1] = [reader.known(normal(word.text)) * _sure(word, words.recognised) for word in passage]
        values[first:last, 2] = np.log1p(len(text.split()))
        valid[first:last] = True
    notes = () if valid.any() or not len(valid) else ("nothing in the text can be read: no letters or digits",)
    return FeatureSequence(values, times, valid, NAMES, notes=notes)


def _sure(word: Word, recognised: bool) -> float:
    if not recognised:
        return 1.0
    return HEARD if word.confidence is None else word.confidence


def _not_english(words: Transcript, reader: TextReader) -> str | None:
    """Why the text is not considered English; None if it is."""
    if words.language and words.language.lower().replace("_", "-").partition("-")[0] not in ("en", "eng"):
        return f"the text model reads English only, this is {words.language!r}: no row is valid"
    if latin_share(words.text) < 0.5:
        return "the text model reads English only, most letters here are not Latin: no row is valid"
    spelt = _LETTERS.findall(normal(words.text))
    if len(spelt) >= LEAST_WORDS and sum(len(reader.cut(word)) for word in spelt) > FOREIGN * len(spelt):
        return "the text model reads English only, most words here are not English: no row is valid"
    return None
