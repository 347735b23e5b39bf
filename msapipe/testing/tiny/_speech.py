"""Sizes shared by the tiny checkpoints of wav2vec2, hubert and ctc; the convolutions keep real kernels and strides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [32] * 7,
}
_PREPROCESSOR = {
    "do_normalize": True,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0.0,
    "sampling_rate": 16000,
}


def write_preprocessor(folder: Path, return_attention_mask: bool) -> None:
    """preprocessor_config.json as in the published checkpoints; large ones return an attention mask."""
    content = {**_PREPROCESSOR, "return_attention_mask": return_attention_mask}
    (folder / "preprocessor_config.json").write_text(json.dumps(content), encoding="utf-8")
