"""An MPNet of sixteen dimensions with rank-two updates of its layers: real layout and tokenizer, random parameters."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

from msapipe.testing.tiny.text_bert import SIZES


def build(folder: Path) -> dict[str, Any]:
    """Write the base, whose vocabulary holds letters and digits, and the low-rank updates."""
    import torch
    from safetensors.torch import save_file
    from transformers import MPNetConfig, MPNetModel, MPNetTokenizer

    letters = string.ascii_lowercase + string.digits
    pieces = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>", *letters, *(f"##{letter}" for letter in letters)]
    pieces += ["what", "wonderful", "day", "am", "so", "happy", "and", "love", "this", "movie"]
    pieces += ["today", "the", "people", "are"]
    MPNetTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}).save_pretrained(folder)
    config = MPNetConfig(**SIZES, vocab_size=len(pieces), max_position_embeddings=300)
    model = MPNetModel(config, add_pooling_layer=False)
    model.save_pretrained(folder)
    learned: dict[str, torch.Tensor] = {
        "attention.weight": torch.randn(1, 16),
        "attention.bias": torch.zeros(1),
        "hidden.weight": torch.randn(8, 32),
        "hidden.bias": torch.zeros(8),
        "score.weight": torch.randn(1, 8),
        "score.bias": torch.zeros(1),
        "scale": torch.ones(3),
        "bias": torch.zeros(3),
    }
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear):
            learned[f"encoder.{name}.down"] = torch.randn(2, layer.in_features)
            learned[f"encoder.{name}.up"] = torch.randn(layer.out_features, 2)
    file = folder.parent / "learned.safetensors"
    save_file(learned, file)
    return {"checkpoint": str(folder), "learned": str(file)}
