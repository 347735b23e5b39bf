"""Rectifying and pooling bfloat16 by its bits: several times as fast on a CPU, and exact.

Numbers of 0 or more are in the order of the 16-bit integers that they are, too, and the sign bit makes those of all
others negative.
"""

from __future__ import annotations

from typing import Any


def rectify_(values: Any) -> Any:
    """``values``, bfloat16, with 0 in the place of each that is less; they are overwritten."""
    import torch

    values.view(torch.int16).clamp_min_(0)
    return values


def pool(pictures: Any) -> Any:
    """The greatest of every second 3 x 3 pixels: rectified bfloat16 (n, C, H, W) to (n, C, H / 2, W / 2), rounded up.

    As torch's MaxPool2d(3, 2, 1), with the channels last.
    """
    import torch

    lines = pictures.view(torch.int16).permute(0, 2, 3, 1)
    return _greatest(_greatest(lines, 1), 2).permute(0, 3, 1, 2).view(pictures.dtype)


def _greatest(lines: Any, axis: int) -> Any:
    """Each even entry along an axis, or one of its two neighbours."""
    import torch

    even, odd = (lines.movedim(axis, 0)[start::2] for start in (0, 1))
    out = even.movedim(0, axis).contiguous()
    along = out.movedim(axis, 0)
    torch.maximum(along[: len(odd)], odd, out=along[: len(odd)])
    torch.maximum(along[1:], odd[: len(along) - 1], out=along[1:])
    return out


def by_bits(body: Any) -> Any:
    """``body``, a ResNet in bfloat16 on the CPU with its channels last, rectifying and pooling so."""
    import torch

    for module in body.modules():
        if isinstance(module, torch.nn.ReLU):
            module.forward = rectify_  # type: ignore[assignment]
        elif isinstance(module, torch.nn.MaxPool2d):
            module.forward = pool  # type: ignore[assignment]
    return body
