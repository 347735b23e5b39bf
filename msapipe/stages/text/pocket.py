"""Sentiment of English text in [-3, 3], by msapipe's own small model, trained on MOSI and MOSEI (offline, 4 MB)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from msapipe.stages._base import Stage
from msapipe.stages.text._pocket_model import PocketModel
from msapipe.stages.text._pocket_words import latin_share, passages, tokens
from msapipe.stages.text._times import word_times
from msapipe.types import FeatureSequence, Transcript
from msapipe.weights import Bundled, InPackage, Weights

NAMES = ("score", "known", "length")

# How far a word counts as known that a program heard, so that the model pocket is less sure of it: of synthetic
# sentences that were half misheard the interval held 78 % at 1, 88 % at a quarter with version 2, 87 % at a quarter
# with version 3 (models/pocket/robustness.py).
HEARD = 0.25

_MODEL = Bundled(
    name="pocket_text",
    file="pocket_text.safetensors",
    sha256="496a06beec7a254fcd8be092ffb80995745c7c487c7a8d8d9ae7d227a32fe957",
    bytes=3711856,
    licence="Apache-2.0",
    source="trained by models/pocket_text/train.py",
)
_LEXICON = InPackage(
    name="VADER vader_lexicon.txt",
    package="vaderSentiment",
    file="vader_lexicon.txt",
    sha256="1ec9c6e9ee19aade328f8beb393a6afa71a5bb3acf7d3cc22d4ef568df374bf5",
    bytes=434304,
    licence="MIT",
    source="https://github.com/cjhutto/vaderSentiment, wheel vaderSentiment 3.3.2",
)


@dataclass
class Pocket(Stage):
    """One row per word: (T, 3), T words, by a ridge over n-grams and a BiGRU with convolution, blended.

    Columns: score, the expected sentiment of the passage that the word stands in, [-3, 3], on the scale of CMU-MOSI
    (Zadeh et al., 2016) and the same at each of its words; known, the share of the word's tokens that the model knows,
    0 or 1 unless the word is a whole caption, and a quarter of that where a program heard the words, of which many are
    then other ones; length, log(1 + words of the passage).

    A passage is the whole text up to 60 words. A longer text is cut behind sentences (. ! ? or, without any, a pause of
    0.6 s), so that the mean over the rows weighs passages by their words. Capitals and punctuation do not matter.
    Times (seconds) are those of the words, pushed forward where they run backwards. No row is valid where the language
    is not English or less than half of the letters are Latin, nor is a passage without letters or digits; a note says
    so, and when less than half of the words are known. The vectors that training began with are GloVe's (Pennington
    et al., 2014), the valences VADER's (Hutto and Gilbert, 2014).
    """

    version: ClassVar[int] = 3
    weights: ClassVar[tuple[Weights, ...]] = (_MODEL, _LEXICON)

    def load(self, device: str) -> None:
        """Read the model and the lexicon; both are small and run on the CPU."""
        self._model = PocketModel.read(_MODEL.path(), _LEXICON.path())

    def run(self, words: Transcript) -> FeatureSequence:
        """Words with times to one row each."""
        values = np.zeros((len(words.words), len(NAMES)), np.float32)
        valid = np.zeros(len(values), bool)
        times = word_times(words.words)
        if note := _not_english(words):
            return FeatureSequence(values, times, valid, NAMES, notes=(note,))
        sure = HEARD if words.recognised else 1.0
        for first, last in passages(words.words):
            passage = words.words[first:last]
            text = " ".join(word.text for word in passage)
            heard = tokens(text)
            if not heard:
                continue
            values[first:last, 0] = self._model.score(heard)
            values[first:last, 1] = [sure * self._model.known(tokens(word.text)) for word in passage]
            values[first:last, 2] = np.log1p(len(text.split()))
            valid[first:last] = True
        return FeatureSequence(values, times, valid, NAMES, notes=_notes(values[valid, 1] / sure, len(values)))


def _not_english(words: Transcript) -> str | None:
    """Why the text cannot be read; None when it can."""
    if words.language and words.language.lower().replace("_", "-").partition("-")[0] not in ("en", "eng"):
        return f"the text model reads English only, this is {words.language!r}: no row is valid"
    if latin_share(words.text) < 0.5:
        return "the text model reads English only, most letters here are not Latin: no row is valid"
    return None


def _notes(known: np.ndarray[tuple[int], np.dtype[np.float32]], words: int) -> tuple[str, ...]:
    if not len(known):
        return ("nothing in the text can be read: no letters or digits",) if words else ()
    if known.mean() < 0.5:
        return (f"the text model knows only {known.mean():.0%} of the words: is the text English?",)
    return ()
