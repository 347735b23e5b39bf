"""Pretrained encoders of the hub, each pinned once: stages read them, and fusion models fine-tune them."""

from __future__ import annotations

import os

from msapipe.weights.kinds import Checkpoint, from_torchvision


def on_hub(name: str, revision: str, licence: str, size: int | None = None) -> Checkpoint:
    """A checkpoint of the hub whose source is its name; size: bytes of the file of numbers, where known."""
    return Checkpoint(name=name, revision=revision, licence=licence, source=f"hub {name}", bytes=size)


BERT = on_hub("google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594", "Apache-2.0", 440449768)
CHINESE_BERT = on_hub("google-bert/bert-base-chinese", "8f23c25b06e129b6c986331a13d8d025a92cf0ea", "Apache-2.0")
XLNET = on_hub("xlnet/xlnet-base-cased", "ceaa69c7bc5e512b5007106a7ccbb7daf24b2c79", "MIT")
WAV2VEC2 = on_hub("facebook/wav2vec2-base-960h", "22aad52d435eb6dbaf354bdad9b0da84ce7d6156", "Apache-2.0")
HUBERT = on_hub("facebook/hubert-base-ls960", "dba3bb02fda4248b6e082697eee756de8fe8aa8a", "Apache-2.0")
CHINESE_HUBERT = on_hub("TencentGameMate/chinese-hubert-base", "fce0375452b1dd6c080ac3248d423d4d037bc831", "MIT")
SWIN_TINY = from_torchvision("swin3d_t", "swin3d_t-7615ae03.pth", "Kinetics-400")
SWIN_BASE = from_torchvision("swin3d_b", "swin3d_b_1k-24f7c7c6.pth", "ImageNet-1k, then Kinetics-400")


def quiet_transformers() -> None:
    """No conversion service, no progress bars, no advice: before transformers reads anything."""
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
