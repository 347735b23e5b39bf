"""GloVe vectors of the words, from Stanford's 840B file or any file in that format."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from msapipe.stages._base import CheckpointStage
from msapipe.stages.text._times import word_times
from msapipe.stages.text._vectors import open_vectors
from msapipe.types import FeatureSequence, Transcript
from msapipe.weights import Download, Weights

_PUNCTUATION = string.punctuation + "“”‘’…–—¿¡«»。，！？、；：（）《》"
_NAMED = 8  # unknown words named in a note

_GLOVE = Download(
    name="glove.840B.300d",
    url="https://huggingface.co/stanfordnlp/glove/resolve/1db2080b2d94def6e5b0386a523102f9d8849e9d/glove.840B.300d.zip",
    file="glove.840B.300d.zip",
    sha256="",  # the hash of Stanford's own archive does not apply: the hub repacked the archives
    licence="PDDL-1.0",
    source="hub stanfordnlp/glove",
)


@dataclass
class Glove(CheckpointStage):
    """One vector per word: (T, D), D the width of the file, 300 for GloVe 840B (Pennington et al., 2014).

    Columns glove_0...: the numbers of the file, without unit, mostly in -3...3, with the word's time (seconds).
    A word is looked up unchanged, then in lower case, then both without surrounding punctuation; a whole caption gets
    the mean vector of its known words. Unknown words are invalid; a note counts them.

    checkpoint: also a .txt in the same format (word and numbers, split from the right: a word may contain spaces), or a
    .zip with one. The index and the contents of a .zip (5.6 GB for GloVe 840B) are kept in the weights folder.
    """

    weights: ClassVar[tuple[Weights, ...]] = (_GLOVE,)

    checkpoint: str = "glove.840B.300d"

    def load(self, device: str) -> None:
        """Locate the file; build its index the first time."""
        self._vectors = open_vectors(self.own_weights()[0])
        self._names = tuple(f"glove_{i}" for i in range(self._vectors.width))

    def run(self, words: Transcript) -> FeatureSequence:
        """Words with times to (T, D)."""
        texts = [" ".join(word.text.replace("’", "'").split()) for word in words.words]
        wanted = {form for text in texts for part in (text, *text.split()) for form in _forms(part)}
        known = self._vectors.of(sorted(wanted))
        values = np.zeros((len(texts), len(self._names)), np.float32)
        valid = np.zeros(len(texts), bool)
        for row, text in enumerate(texts):
            vector = _vector(text, known)
            if vector is not None:
                values[row], valid[row] = vector, True
        missing = [text for text, there in zip(texts, valid, strict=True) if not there]
        return FeatureSequence(values, word_times(words.words), valid, self._names, notes=_note(missing, len(texts)))


def _forms(word: str) -> tuple[str, ...]:
    """Spellings under which a word may be in the file, in order of preference."""
    bare = word.strip(_PUNCTUATION)
    return tuple(form for form in (word, word.lower(), bare, bare.lower()) if form)


def _vector(text: str, known: dict[str, NDArray[np.float32]]) -> NDArray[np.float32] | None:
    for form in _forms(text):
        if form in known:
            return known[form]
    parts = text.split()
    found = [vector for part in parts if len(parts) > 1 and (vector := _vector(part, known)) is not None]
    return np.asarray(np.mean(found, axis=0, dtype=np.float64), np.float32) if found else None


def _note(missing: list[str], count: int) -> tuple[str, ...]:
    if not missing:
        return ()
    different = list(dict.fromkeys(missing))
    named = ", ".join(different[:_NAMED]) + (", ..." if len(different) > _NAMED else "")
    return (f"{len(missing)} of {count} words are not in GloVe: {named}",)
