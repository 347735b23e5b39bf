"""The tokenizer and config of the tiny BERT; token ids need no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msapipe.testing.tiny import text_bert


def build(folder: Path) -> dict[str, Any]:
    """Write the checkpoint."""
    return text_bert.build(folder)
