"""A Video Swin of four stages, eight dimensions and random parameters, with the real window sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def build(folder: Path) -> dict[str, Any]:
    """Write swin3d.pth; its images are 64 pixels wide, so that the windows of the first stage hold padding."""
    import torch
    from torchvision.models.video import SwinTransformer3d

    net = SwinTransformer3d([2, 4, 4], 8, [2, 2, 2, 2], [1, 2, 4, 8], [8, 7, 7], num_classes=5)
    for name, numbers in net.named_parameters():
        if "bias" in name:  # torchvision initialises them near zero, which would hide a wrong mask
            torch.nn.init.normal_(numbers)
    folder.mkdir(parents=True)
    torch.save(net.state_dict(), folder / "swin3d.pth")
    return {"checkpoint": str(folder / "swin3d.pth"), "size": 64}
