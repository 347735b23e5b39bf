"""A tiny checkpoint for audio/hubert, like hubert-base: group norm over time, three layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msapipe.testing.tiny._speech import CONFIG, write_preprocessor


def build(folder: Path) -> dict[str, Any]:
    """Write config, parameters and preprocessor_config.json into ``folder``."""
    from transformers import HubertConfig, HubertModel

    HubertModel(HubertConfig(**CONFIG, feat_extract_norm="group")).save_pretrained(folder)
    write_preprocessor(folder, return_attention_mask=False)
    return {"checkpoint": str(folder)}
