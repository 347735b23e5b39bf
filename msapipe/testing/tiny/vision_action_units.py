"""LibreFace's combined net in its own file format, with random parameters; it has only one size (45 MB)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msapipe.stages.vision._libreface import net


def build(folder: Path) -> dict[str, Any]:
    """Write combined_resnet.pt into ``folder``; returns the parameters that point to it."""
    import torch

    folder.mkdir(parents=True)
    path = folder / "combined_resnet.pt"
    torch.save({"model": net().state_dict()}, path)
    return {"backend": "libreface", "checkpoint": str(path)}
