"""A ResNet18 with random parameters in LibreFace's layout; only the images are smaller than usual."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def build(folder: Path) -> dict[str, Any]:
    """Write resnet.pt: the body as ``encoder``, with LibreFace's head of eight expressions."""
    import torch
    from torch import nn
    from torchvision.models import resnet18

    net = nn.Module()
    net.encoder = nn.Sequential(*list(resnet18(weights=None).children())[:-1])
    net.classifier = nn.Sequential(nn.Linear(512, 128), nn.ReLU(), nn.BatchNorm1d(128), nn.Dropout(), nn.Linear(128, 8))
    folder.mkdir(parents=True)
    torch.save({"model": net.state_dict()}, folder / "resnet.pt")
    return {"checkpoint": str(folder / "resnet.pt"), "size": 64}
