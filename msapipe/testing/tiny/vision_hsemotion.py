"""A small EfficientNet-like net, as ONNX like HSEmotion's: 24 columns, 48-pixel images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIZE, WIDTH = 48, 24


def build(folder: Path) -> dict[str, Any]:
    """Write enet.onnx: input (batch_size, 3, 48, 48) named input, output (batch_size, 8) named output."""
    from torch import nn

    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.SiLU(),
        nn.Conv2d(8, WIDTH, 1),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(WIDTH, 8),
    )
    folder.mkdir(parents=True)
    write_onnx(net, folder / "enet.onnx", SIZE)
    return {"checkpoint": str(folder / "enet.onnx")}


def write_onnx(net: Any, file: Path, size: int) -> None:
    """Export a net with input (n, 3, size, size), with the names and settings of EmotiEffLib's exporter."""
    import torch

    torch.onnx.export(
        net.eval(),
        (torch.zeros(1, 3, size, size),),
        file,
        opset_version=11,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": {0: "batch_size"}, "output": {0: "batch_size"}},
        dynamo=False,
    )
