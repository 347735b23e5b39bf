"""Sentiment of English text in [-3, 3], by msapipe's own distilled MiniLM (offline, 24 MB)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from msapipe.stages._base import Stage
from msapipe.stages.text._passages import score_passages
from msapipe.stages.text._sentence_reader import SentenceReader
from msapipe.types import FeatureSequence, Transcript
from msapipe.weights import Bundled, Weights

_MODEL = Bundled(
    name="pocket_text",
    file="pocket_text.safetensors",
    sha256="8226f4e6de97a14966fb6c3d72d4df5a07386898f791392212c0cb6c6ce33ca1",
    bytes=23518691,
    licence="Apache-2.0",
    source="all-MiniLM-L6-v2 (Apache-2.0), distilled by models/pocket_text/train.py",
)


@dataclass
class Pocket(Stage):
    """One row per word: (T, 3), T words, by a fine-tuned BERT of six layers (MiniLM; Wang et al., 2020).

    Columns: score, the expected sentiment of the word's passage, [-3, 3], on the scale of CMU-MOSI (Zadeh et al.,
    2016), the same for all words of the passage; known, how far the word can be trusted, in [0, 1]: the share of its
    word pieces in the vocabulary, times the confidence of the speech recogniser if there was one; length, log(1 + words
    of the passage).

    A passage is the whole text up to 60 words. A longer text is cut after sentences (. ! ? or, without any, a pause of
    0.6 s), so that the mean over the rows weights passages by their words. Case does not matter. Times (seconds) are
    those of the words, made non-decreasing. No row is valid if the language is not English, less than half of the
    letters are Latin or most words are split into many word pieces; a passage without letters or digits is invalid too.
    A note says so.
    """

    version: ClassVar[int] = 4
    weights: ClassVar[tuple[Weights, ...]] = (_MODEL,)

    def load(self, device: str) -> None:
        """Read the model, which is small and runs on the CPU without torch."""
        self._model = SentenceReader.read(_MODEL.path())

    def run(self, words: Transcript) -> FeatureSequence:
        """Words with times to one row each."""
        return score_passages(words, self._model)
