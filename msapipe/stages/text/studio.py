"""Sentiment of English text in [-3, 3], by a fine-tuned MPNet, 438 MB: better than ``pocket`` (GPU or CPU)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from msapipe.stages._base import CheckpointStage
from msapipe.stages.text._low_rank import LowRankReader
from msapipe.stages.text._passages import score_passages
from msapipe.types import FeatureSequence, Transcript
from msapipe.weights import Bundled, Weights, choose
from msapipe.weights.encoders import MPNET

LEARNED = Bundled(
    name="studio_text",
    file="studio_text.safetensors",
    sha256="e2da0fb37cabfe6ae77bb85b874934b54b108f9b4c0ec5ca6456de5dfa65eb50",
    bytes=5813174,
    licence="Apache-2.0",
    source="trained by models/pocket_text/teacher.py",
)


@dataclass
class Studio(CheckpointStage):
    """One row per word: (T, 3), T words, by all-mpnet-base-v2 with low-rank updates of its linear layers.

    Columns, passages, languages: as ``pocket`` (score in [-3, 3], known in [0, 1], length), whose teacher it is.
    checkpoint: the base, an MPNet.   learned: the fine-tuned updates, by name or as the path of a file written by
    models/pocket_text/teacher.py.   MPNet: Song et al. (2020); LoRA: Hu et al. (2022).
    """

    weights: ClassVar[tuple[Weights, ...]] = (MPNET, LEARNED)
    on_device: ClassVar[bool] = True

    checkpoint: str = MPNET.name
    learned: str = LEARNED.name

    def own_weights(self) -> tuple[Weights, ...]:
        """The base and the fine-tuned updates."""
        return choose((MPNET,), self.checkpoint, "studio"), choose((LEARNED,), self.learned, "studio")

    def params(self) -> dict[str, Any]:
        """The parameters; paths of the user's own files are replaced by their hashes."""
        base, learned = self.own_weights()
        return {"checkpoint": base.name, "learned": learned.name}

    def load(self, device: str) -> None:
        """Read the base and the updates, and merge them; raises WeightsError if they do not match."""
        base, learned = self.own_weights()
        self._reader = LowRankReader(base.path(), learned.path(), device)

    def run(self, words: Transcript) -> FeatureSequence:
        """Words with times to one row each."""
        return score_passages(words, self._reader)
