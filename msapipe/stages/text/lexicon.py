"""Sentiment of each English word and of the sentence around it, by VADER's lexicon and rules (in its wheel)."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MissingLibrary
from msapipe.stages._base import Stage
from msapipe.stages.text._times import sentences, word_times
from msapipe.types import FeatureSequence, Transcript
from msapipe.weights import InPackage, Weights

NAMES = (
    "valence",
    "valence_in_context",
    "negator",
    "booster",
    "compound",
    "pos",
    "neu",
    "neg",
    "text_compound",
)
_ABBREVIATIONS = ("mr.", "mrs.", "ms.", "dr.", "st.", "vs.", "jr.", "prof.", "e.g.", "i.e.", "u.s.", "a.m.", "p.m.")


def _weights(file: str, sha256: str, size: int) -> InPackage:
    return InPackage(
        name=f"VADER {file}",
        package="vaderSentiment",
        file=file,
        sha256=sha256,
        bytes=size,
        licence="MIT",
        source="https://github.com/cjhutto/vaderSentiment, wheel vaderSentiment 3.3.2",
    )


@dataclass
class Lexicon(Stage):
    """One row per word: (T, 9), T words, by VADER (Hutto and Gilbert, 2014).

    Columns: valence of the word in the lexicon, [-4, 4], 0 if it is absent; valence_in_context, the same after VADER's
    rules on preceding negation, boosters, capitals and idioms, clipped to [-4, 4]; negator, 0 or 1; booster, 1 for
    "very", -1 for "slightly", else 0; compound [-1, 1] and pos, neu, neg [0, 1] of the word's sentence; text_compound
    [-1, 1] of all words.

    A sentence ends at . ! ? or, in a text without any of them, where two words with measured times are more than
    ``pause`` seconds apart. Times (seconds) are those of the words, made non-decreasing. All rows are valid, unless the
    language is not English: VADER does not understand it, and no row is valid.
    """

    weights: ClassVar[tuple[Weights, ...]] = (
        _weights("vader_lexicon.txt", "1ec9c6e9ee19aade328f8beb393a6afa71a5bb3acf7d3cc22d4ef568df374bf5", 434304),
        _weights("emoji_utf8_lexicon.txt", "b8d54223ae1ce22a3e12c1f745316b71678c328eb5f5d3063a842f37cfbe2823", 121986),
    )

    pause: float = 0.6

    def __post_init__(self) -> None:
        self.require(0 < self.pause <= 60, f"pause {self.pause} must lie above 0 and not above 60 (seconds)")

    def load(self, device: str) -> None:
        """Read the lexicon."""
        try:
            from vaderSentiment import vaderSentiment
        except ImportError as error:
            raise MissingLibrary(f"vaderSentiment does not load: {error}; type: uv sync") from error
        for weights in self.weights:
            weights.path()
        self._vader = vaderSentiment
        self._analyzer = vaderSentiment.SentimentIntensityAnalyzer()

    def run(self, words: Transcript) -> FeatureSequence:
        """Words with times to one row each."""
        values = np.zeros((len(words.words), len(NAMES)), np.float32)
        english = (words.language or "en").partition("-")[0].lower() == "en"
        if english:
            texts = [self._without_emoji(word.text.replace("’", "'")) for word in words.words]
            for first, last in sentences(words.words, self.pause, _no_end):
                values[first:last, :8] = self._sentence(texts[first:last])
            values[:, 8] = self._score(texts)[2]["compound"]
        return FeatureSequence(values, word_times(words.words), np.full(len(values), english), NAMES)

    def _sentence(self, texts: list[str]) -> NDArray[np.float32]:
        """The first eight columns for one sentence."""
        tokens, valences, scores = self._score(texts)
        rows = np.zeros((len(texts), 8), np.float32)
        rows[:, 4:] = [scores[name] for name in ("compound", "pos", "neu", "neg")]
        at = 0
        for row, text in zip(rows, texts, strict=True):
            count = len(text.split())
            for i in range(at, at + count):
                row[0] += self._analyzer.lexicon.get(tokens[i].lower(), 0.0)
                row[1] += valences[i]
                negator, booster = self._flags(tokens, i)
                row[2], row[3] = max(row[2], negator), row[3] or booster
            at += count
        np.clip(rows[:, :2], -4, 4, out=rows[:, :2])
        return rows

    def _score(self, texts: list[str]) -> tuple[list[str], list[float], dict[str, float]]:
        """VADER's tokens, their valences in context, and the sentence scores: equal to its polarity_scores.

        polarity_scores rescans all words for each one; its rules reach only three words back and two ahead.
        """
        text = " ".join(texts).strip()
        senti = self._vader.SentiText(text)
        tokens = senti.words_and_emoticons
        valences: list[float] = []
        for i, token in enumerate(tokens):
            if token.lower() in self._vader.BOOSTER_DICT or [t.lower() for t in tokens[i : i + 2]] == ["kind", "of"]:
                valences.append(0.0)
                continue
            first = max(0, i - 4)
            near = SimpleNamespace(words_and_emoticons=tokens[first : i + 4], is_cap_diff=senti.is_cap_diff)
            valences += self._analyzer.sentiment_valence(0, near, token, i - first, [])
        weighed = self._analyzer._but_check(tokens, list(valences))
        return tokens, valences, self._analyzer.score_valence(weighed, text)

    def _flags(self, tokens: list[str], at: int) -> tuple[float, float]:
        """Negator and booster of one token."""
        token = tokens[at].lower()
        ahead = f"{token} {tokens[at + 1].lower()}" if at + 1 < len(tokens) else ""
        behind = f"{tokens[at - 1].lower()} {token}" if at else ""
        boosters = self._vader.BOOSTER_DICT
        boost = next((boosters[phrase] for phrase in (token, ahead, behind) if phrase in boosters), 0.0)
        return float(token == "no" or self._vader.negated([token])), float(np.sign(boost))

    def _without_emoji(self, text: str) -> str:
        """Replace emoji by their names, as VADER's polarity_scores does."""
        out = ""
        for char in text:
            name = self._analyzer.emojis.get(char)
            space = " " if name and out and not out.endswith(" ") else ""
            out += char if name is None else space + name
        return out.strip()


def _no_end(word: str) -> bool:
    """Whether a word is an abbreviation or an initial."""
    return word in _ABBREVIATIONS or (len(word) == 2 and word[0].isalpha() and word[1] == ".")
