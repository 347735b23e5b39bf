"""Sentiment of English text in [-3, 3], by a distilled MiniLM of msapipe's own (offline, 24 MB)."""

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
    """One row per word: (T, 3), T words, by a BERT of six layers (MiniLM; Wang et al., 2020), fine-tuned.

    Columns: score, the expected sentiment of the passage that the word stands in, [-3, 3], on the scale of CMU-MOSI
    (Zadeh et al., 2016) and the same at each of its words; known, how far to trust that the word is what was said, in
    [0, 1]: the share of its pieces that are in the vocabulary, times the confidence of the recogniser where a program
    heard it; length, log(1 + words of the passage).

    A passage is the whole text up to 60 words. A longer text is cut behind sentences (. ! ? or, without any, a pause of
    0.6 s), so that the mean over the rows weighs passages by their words. Capitals do not matter. Times (seconds) are
    those of the words, pushed forward where they run backwards. No row is valid where the language is not English,
    less than half of the letters are Latin or most words are cut into many pieces, nor is a passage without letters or
    digits; a note says so.
    """

    version: ClassVar[int] = 4
    weights: ClassVar[tuple[Weights, ...]] = (_MODEL,)

    def load(self, device: str) -> None:
        """Read the model, which is small and runs on the CPU without torch."""
        self._model = SentenceReader.read(_MODEL.path())

    def run(self, words: Transcript) -> FeatureSequence:
        """Words with times to one row each."""
        return score_passages(words, self._model)
