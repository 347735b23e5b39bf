"""Token ids of a text encoder, one row per token, for models that fine-tune their language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from msapipe.errors import WeightsError
from msapipe.stages import _transformers
from msapipe.stages._base import CheckpointStage
from msapipe.stages.text._encoders import ENCODERS, load_tokenizer, most_tokens, split, unknown_note
from msapipe.stages.text._times import piece_times
from msapipe.types import FeatureSequence, Transcript
from msapipe.weights import Weights

NAMES = ("input_id", "token_type", "word")


@dataclass
class Tokens(CheckpointStage):
    """Token ids of the words: (T, 3), one row per token in the encoder's order, including special tokens.

    Columns, whole numbers: input_id; token_type (0; 2 for the [CLS] of XLNet); word, the index of the word that the
    token belongs to, -1 for a special token ([CLS], [SEP]; XLNet has them at the end). All rows are valid; without
    words there are no rows.

    Times (seconds): the tokens of a word share its time equally; a special token is an instant (start = end) at the
    beginning or end of the text. Rows never overlap and each has a time of its own (a few microseconds if words overlap
    or have no times), so that ids aligned to this time grid stay unchanged. A text is never truncated; a note says if
    it is longer than the encoder's input. Devlin et al. (2019).
    """

    weights: ClassVar[tuple[Weights, ...]] = ENCODERS

    checkpoint: str = "google-bert/bert-base-uncased"

    def load(self, device: str) -> None:
        """Read the tokenizer."""
        weights = self.own_weights()[0]
        folder = weights.path()
        self._tokenizer = load_tokenizer(folder)
        self._most = most_tokens(_transformers.load_config(folder), self._tokenizer)
        if len(self._tokenizer) > 2**24:
            raise WeightsError(f"{weights.name}: ids up to {len(self._tokenizer)} are not whole numbers in float32")

    def run(self, words: Transcript) -> FeatureSequence:
        """Words with times to (T, 3)."""
        pieces = split(self._tokenizer, words.words)
        if not (pieces.word_of >= 0).any():
            return FeatureSequence(np.zeros((0, 3), np.float32), np.zeros((0, 2)), np.zeros(0, bool), NAMES)
        values = np.stack([pieces.ids, pieces.types, pieces.word_of], axis=1).astype(np.float32)
        notes = unknown_note(pieces, self.own_weights()[0].name)
        if len(values) > self._most:
            long = f"{len(values)} tokens are more than the {self._most} that the encoder takes; none was left out"
            notes = (*notes, long)
        times = piece_times(words.words, pieces.word_of)
        return FeatureSequence(values, times, np.ones(len(values), bool), NAMES, notes=notes)
