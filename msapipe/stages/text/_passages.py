"""Text as the sentiment models read it, and cut into passages."""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from msapipe.stages.text._times import word_times
from msapipe.types import FeatureSequence, Transcript, Word

NAMES = ("score", "known", "length")
LIMIT = 3.0  # the scale of CMU-MOSI
HEARD = 0.25  # how far a word is known that a program heard without saying how sure it is

PASSAGE_WORDS = 60  # the longest passage: few labelled utterances are longer
MOST_PIECES = 254  # word pieces that are read at once
PAUSE = 0.6  # seconds of silence that end a sentence where no punctuation does

# An English text of so many words is cut into fewer pieces a word than this: 99.9 % of CMU-MOSI's and MOSEI's are, and
# one of thirteen sentences of European languages that were tried.
LEAST_WORDS, FOREIGN = 6, 1.55
_LETTERS = re.compile(r"[^\W\d_]+")

# Signs that people and programs write for an apostrophe.
_APOSTROPHES = str.maketrans(
    dict.fromkeys("\N{RIGHT SINGLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}`\N{ACUTE ACCENT}", "'")
)


def normal(text: str) -> str:
    """The text as the models read it: lower case, plain apostrophes, single blanks."""
    return " ".join(text.lower().translate(_APOSTROPHES).split())


def latin_share(text: str) -> float:
    """Share of the letters that are Latin ones, accents allowed; 1 for a text without letters."""
    letters = [char for char in text if char.isalpha()]
    latin = sum("LATIN" in unicodedata.name(char, "") for char in letters)
    return latin / len(letters) if letters else 1.0


def passages(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Index ranges that cover all words, of about PASSAGE_WORDS words at most.

    A short text is one passage. A longer one is cut behind sentences, as many to a passage as fit, and a sentence that
    does not fit into equal parts. One ``Word`` that is a caption of many words is never cut.
    """
    lengths = [max(1, len(word.text.split())) for word in words]
    if sum(lengths) <= PASSAGE_WORDS:
        return [(0, len(words))] if words else []
    pieces = [part for first, last in _sentences(words) for part in _parts(lengths, first, last)]
    found: list[tuple[int, int]] = []
    for first, last in pieces:
        if found and sum(lengths[found[-1][0] : last]) <= PASSAGE_WORDS:
            found[-1] = found[-1][0], last
        else:
            found.append((first, last))
    return found


def _parts(lengths: list[int], first: int, last: int) -> list[tuple[int, int]]:
    """A sentence in as few equal parts as bring it below the limit."""
    count = min(last - first, -(-sum(lengths[first:last]) // PASSAGE_WORDS))
    edges = [first + (last - first) * i // count for i in range(count + 1)]
    return list(pairwise(edges))


def _sentences(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Ranges that end behind . ! or ?, in a text without any behind a heard pause."""
    ends = [i + 1 for i, word in enumerate(words) if word.text.rstrip("\"'”’»)]}").endswith((".", "!", "?", "…"))]
    if not ends:
        ends = [
            i + 1
            for i, (a, b) in enumerate(pairwise(words))
            if a.timed and b.timed and (b.start or 0.0) - (a.end or 0.0) > PAUSE
        ]
    return list(pairwise(sorted({0, *ends, len(words)})))


class TextReader(ABC):
    """What scores a text that ``normal`` has written, over the pieces of a tokenizer."""

    @abstractmethod
    def cut(self, text: str) -> list[int]:
        """The numbers of its pieces, without special ones."""

    @abstractmethod
    def score_pieces(self, pieces: Sequence[int]) -> float:
        """Sentiment of at most MOST_PIECES pieces, on the scale of CMU-MOSI."""

    @abstractmethod
    def unknown(self) -> int | None:
        """The number that stands for what is not in the vocabulary."""

    def score(self, text: str) -> float:
        """Sentiment of a text; a long one is read in equal parts, which count by their pieces."""
        pieces = self.cut(text)
        parts = np.array_split(np.array(pieces, np.int64), max(1, -(-len(pieces) // MOST_PIECES)))
        scores = [self.score_pieces(part.tolist()) for part in parts]
        return float(np.average(scores, weights=[len(part) + 2 for part in parts]))

    def known(self, text: str) -> float:
        """Share of the pieces that are in the vocabulary, in [0, 1]; 0 for a text without pieces."""
        pieces = self.cut(text)
        return sum(piece != self.unknown() for piece in pieces) / max(len(pieces), 1)

    def pieces(self, text: str) -> int:
        """How many pieces the text is cut into."""
        return len(self.cut(text))


def score_passages(words: Transcript, reader: TextReader) -> FeatureSequence:
    """One row a word, (T, 3), columns NAMES: score of its passage, how far it is known, log(1 + words of the passage).

    No row is valid, and a note says why, where the text is not English.
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
    return FeatureSequence(values, times, valid, NAMES, notes=_notes(values[valid], len(values)))


def _sure(word: Word, recognised: bool) -> float:
    if not recognised:
        return 1.0
    return HEARD if word.confidence is None else word.confidence


def _not_english(words: Transcript, reader: TextReader) -> str | None:
    """Why the text cannot be read; None when it can."""
    if words.language and words.language.lower().replace("_", "-").partition("-")[0] not in ("en", "eng"):
        return f"the text model reads English only, this is {words.language!r}: no row is valid"
    if latin_share(words.text) < 0.5:
        return "the text model reads English only, most letters here are not Latin: no row is valid"
    spelt = _LETTERS.findall(normal(words.text))
    if len(spelt) >= LEAST_WORDS and sum(map(reader.pieces, spelt)) > FOREIGN * len(spelt):
        return "the text model reads English only, most words here are not English: no row is valid"
    return None


def _notes(rows: NDArray[np.float32], words: int) -> tuple[str, ...]:
    if words and not len(rows):
        return ("nothing in the text can be read: no letters or digits",)
    return ()
