"""LR-ASD with random parameters; it is small enough at full size."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def build(folder: Path) -> dict[str, Any]:
    """Write the weights as its authors do: a state_dict, saved by torch."""
    import torch

    from msapipe.stages.speaker._lr_asd import network

    folder.mkdir(parents=True)
    file = folder / "random.model"
    torch.save(network().state_dict(), file)
    return {"checkpoint": str(file)}
