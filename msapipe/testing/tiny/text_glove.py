"""Vectors of eight dimensions for a few words, in GloVe's text format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_WORDS = ["the", "a", "what", "What", "wonderful", "day", "good", "not", "hate", "it", ".", "n't", "do", "at mail.com"]
_WORDS += ["i", "am", "so", "happy", "love", "this", "movie"]


def build(folder: Path) -> dict[str, Any]:
    """Write the file; one word contains a space, as in GloVe 840B."""
    import torch

    folder.mkdir()
    lines = [" ".join([word, *(f"{number:.5f}" for number in torch.randn(8).tolist())]) for word in _WORDS]
    path = folder / "glove.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"checkpoint": str(path)}
