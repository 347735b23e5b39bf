"""Whisper's tokens to words, and words without those that it repeats for ever."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from msapipe.stages._spread import share_out
from msapipe.types import Word

# Languages that are written without spaces, by Whisper's codes: every piece is a word there.
UNSPACED = frozenset({"zh", "yue", "ja", "th", "lo", "my"})

_OPENING = frozenset("\"'“‘¡¿([{-「『（《【")
_NEITHER = frozenset("\"'-")  # these open a word only behind a space

# A stretch of words that stands there so often in a row, and is so long in all, was not said but is a loop.
_OFTEN, _LONG = 5, 12


@dataclass(frozen=True)
class Segment:
    """Tokens of text: the probability of each, and its (start, end) in seconds of the window where that is known.

    start, end: seconds of the window in which all of them were said.
    """

    tokens: tuple[int, ...]
    probabilities: tuple[float, ...]
    start: float
    end: float
    times: tuple[tuple[float, float], ...] | None = None


@dataclass
class _Piece:
    """Some text, and the tokens ``first`` to ``last`` (not included) that say it."""

    text: str
    first: int
    last: int

    @property
    def mark(self) -> bool:
        """Whether it is punctuation only."""
        bare = self.text.strip()
        return bool(bare) and all(unicodedata.category(char).startswith("P") for char in bare)

    @property
    def opens(self) -> bool:
        """Whether it is punctuation that belongs to the word behind it."""
        bare = set(self.text.strip())
        return self.mark and bare <= _OPENING and (self.text.startswith(" ") or not bare & _NEITHER)


def words_of(segment: Segment, decode: Callable[[list[int]], str], spaced: bool) -> list[Word]:
    """The words of a segment, with their punctuation, in seconds of the window.

    Confidence is the mean probability of a word's tokens; punctuation counts neither for it nor for the times. Without
    times of tokens, the segment's are shared out by letters and marked as estimated.

    spaced: a word begins with a space; else every piece that decodes to whole characters is one.
    """
    words = [_word(segment, text, said) for text, said in _said(_joined(_pieces(segment.tokens, decode), spaced))]
    return words if segment.times else share_out(words, segment.start, segment.end)


def without_loops(words: list[Word]) -> tuple[list[Word], int]:
    """The words with each loop said once, and how many words that leaves out."""
    keys = ["".join(filter(str.isalnum, word.text.lower())) or word.text for word in words]
    kept: list[Word] = []
    at = 0
    while at < len(words):
        size, times = _loop(keys, at)
        kept += words[at : at + size]
        at += size * times
        if times > 1 and keys[at:] == keys[at - size : at][: len(keys) - at]:
            break  # it was cut off in the middle of one more round
    return kept, len(words) - len(kept)


def _loop(keys: list[str], at: int) -> tuple[int, int]:
    """How many words from ``at`` on are a loop, and how often they come; (1, 1) where there is none."""
    for size in range(1, (len(keys) - at) // _OFTEN + 1):
        phrase, times = keys[at : at + size], 1
        while keys[at + size * times : at + size * (times + 1)] == phrase:
            times += 1
        if times >= _OFTEN and size * times >= _LONG:
            return size, times
    return 1, 1


def _pieces(tokens: tuple[int, ...], decode: Callable[[list[int]], str]) -> list[_Piece]:
    """The least groups of tokens that are whole characters: a token may be part of the bytes of one."""
    pieces: list[_Piece] = []
    pending: _Piece | None = None
    for index in range(len(tokens)):
        piece = _Piece(decode([tokens[index]]), index, index + 1)
        if pending:
            longer = decode(list(tokens[pending.first : index + 1]))
            if longer == pending.text or not longer.startswith(pending.text):
                piece = _Piece(longer, pending.first, index + 1)
            else:
                pieces.append(pending)  # these bytes are no character, whatever follows
        pending = piece if piece.text.endswith("\N{REPLACEMENT CHARACTER}") else None
        if not pending:
            pieces.append(piece)
    return [*pieces, pending] if pending else pieces


def _joined(pieces: list[_Piece], spaced: bool) -> list[list[_Piece]]:
    """Pieces that make a word each."""
    words: list[list[_Piece]] = []
    open_ = False
    for piece in pieces:
        begins = not spaced or piece.text.startswith(" ")
        joins = open_ or not begins or (piece.mark and not piece.opens)
        if words and joins:
            words[-1].append(piece)
        else:
            words.append([piece])
        open_ = piece.opens and begins
    return words


def _said(words: list[list[_Piece]]) -> list[tuple[str, list[_Piece]]]:
    """The text of each word, and those of its pieces that are said: all but marks. Words of spaces are left out."""
    texts = ["".join(piece.text.strip() for piece in word) for word in words]
    return [
        (text, [piece for piece in word if not piece.mark and piece.text.strip()] or word)
        for text, word in zip(texts, words, strict=True)
        if text
    ]


def _word(segment: Segment, text: str, said: list[_Piece]) -> Word:
    tokens = [index for piece in said for index in range(piece.first, piece.last)]
    confidence = min(sum(segment.probabilities[index] for index in tokens) / len(tokens), 1.0)
    if not segment.times:
        return Word(text, confidence=round(confidence, 4))
    start, end = segment.times[tokens[0]][0], segment.times[tokens[-1]][1]
    return Word(text, start, max(start, end), round(confidence, 4))
