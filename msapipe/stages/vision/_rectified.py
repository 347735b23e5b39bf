"""Exact ReLU and max pooling of bfloat16 on 16-bit integers: several times as fast on a CPU.

Non-negative bfloat16 numbers sort like their bits as int16; the sign bit makes the bits of all others negative.
"""

from __future__ import annotations

from typing import Any


def rectify_(values: Any) -> Any:
    """ReLU of bfloat16 ``values``, in place."""
    import torch

    values.view(torch.int16).clamp_min_(0)
    return values


def pool(pictures: Any) -> Any:
    """torch's MaxPool2d(3, 2, 1) of non-negative bfloat16 (n, C, H, W), channels last."""
    import torch

    lines = pictures.view(torch.int16).permute(0, 2, 3, 1)
    return _greatest(_greatest(lines, 1), 2).permute(0, 3, 1, 2).view(pictures.dtype)


def _greatest(lines: Any, axis: int) -> Any:
    """The maximum of each even entry along an axis and its two neighbours."""
    import torch

    even, odd = (lines.movedim(axis, 0)[start::2] for start in (0, 1))
    out = even.movedim(0, axis).contiguous()
    along = out.movedim(axis, 0)
    torch.maximum(along[: len(odd)], odd, out=along[: len(odd)])
    torch.maximum(along[1:], odd[: len(along) - 1], out=along[1:])
    return out


def by_bits(body: Any) -> Any:
    """Replace ReLU and max pooling of ``body``, a bfloat16 ResNet on the CPU, channels last."""
    import torch

    for module in body.modules():
        if isinstance(module, torch.nn.ReLU):
            module.forward = rectify_  # type: ignore[assignment]
        elif isinstance(module, torch.nn.MaxPool2d):
            module.forward = pool  # type: ignore[assignment]
    return body
