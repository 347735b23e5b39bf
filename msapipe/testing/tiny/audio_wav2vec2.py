"""A tiny checkpoint for audio/wav2vec2, like audeering's: layer norm, three layers, a head with three outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msapipe.testing.tiny._speech import CONFIG, write_preprocessor


def build(folder: Path) -> dict[str, Any]:
    """Write config, parameters (with the head of the emotion model) and preprocessor_config.json into ``folder``."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    labels = dict(enumerate(("arousal", "dominance", "valence")))
    config = Wav2Vec2Config(**CONFIG, feat_extract_norm="layer", do_stable_layer_norm=True, id2label=labels)
    Wav2Vec2Model(config).save_pretrained(folder)
    write_preprocessor(folder, return_attention_mask=True)
    width = config.hidden_size
    tensors = {f"wav2vec2.{name}": item for name, item in load_file(folder / "model.safetensors").items()}
    for name, size in (("dense", width), ("out_proj", len(labels))):
        tensors[f"classifier.{name}.weight"] = torch.randn(size, width) / width**0.5
        tensors[f"classifier.{name}.bias"] = torch.randn(size)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return {"checkpoint": str(folder), "head": True}
