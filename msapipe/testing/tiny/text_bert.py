"""A BERT with sixteen dimensions and at most 24 tokens: real layout and tokenizer, random parameters."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

_PARTS = ["what", "day", "##day", "won", "##der", "##ful", *string.punctuation, *"好我的很天开心"]
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "initializer_range": 0.5,
}


def build(folder: Path) -> dict[str, Any]:
    """Write the checkpoint; its vocabulary holds letters, digits, some Chinese characters and a few longer pieces."""
    from transformers import BertConfig, BertModel, BertTokenizer

    letters = string.ascii_lowercase + string.digits
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *_PARTS]
    BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}).save_pretrained(folder)
    BertModel(BertConfig(**SIZES, vocab_size=len(pieces), max_position_embeddings=24)).save_pretrained(folder)
    return {"checkpoint": str(folder)}
