"""3 x 3 convolutions by Winograd's minimal filtering: a quarter of the multiplications, half the time on a CPU.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), F(4 x 4, 3 x 3).
"""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

# One-axis transforms of 6 input samples, 3 weights and 6 products.
_INPUT = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]]
_INPUT += [[0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
_WEIGHT = [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6]]
_WEIGHT += [[1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]
_OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]

# Bytes of transformed input per block, which should fit into a core's cache.
_AT_ONCE = 3_000_000


class Winograd:
    """Replaces a 3 x 3 convolution with stride 1 and padding 1, float32 on the CPU; equal within rounding (1e-6).

    Images are processed in batches of a fixed size, so that all are computed the same way.
    """

    def __init__(self, conv: Any, rooms: dict[str, Any]) -> None:
        """``conv``: a torch.nn.Conv2d of this kind, with a bias.   rooms: buffers, shared by convolutions."""
        import torch

        matrix = torch.tensor(_WEIGHT, dtype=torch.float64)
        weight = torch.einsum("ia,kcab,jb->ijck", matrix, conv.weight.double(), matrix)
        self._weight = weight.flatten(0, 1).float().contiguous()
        self._bias = conv.bias
        self._input, self._output = (torch.from_numpy(both) for both in _both_axes())
        self._rooms = rooms

    def __call__(self, pictures: Any) -> Any:
        """Images (n, C, H, W), channels last, to (n, C', H, W)."""
        import torch

        count, channels, height, width = pictures.shape
        down, across = -(-height // 4), -(-width // 4)
        most = _AT_ONCE // (4 * 36 * channels * down * across)
        some = max(size for size in range(1, max(most, 1) + 1) if count % size == 0)
        out = torch.empty(count, down, 4, across, 4, len(self._bias))
        for first in range(0, count, some):
            self._convolve(pictures[first : first + some].permute(0, 2, 3, 1), out[first : first + some])
        return out.view(count, 4 * down, 4 * across, -1)[:, :height, :width].permute(0, 3, 1, 2)

    def _convolve(self, pictures: Any, out: Any) -> None:
        """Images (n, H, W, C) to ``out`` (n, down, 4, across, 4, C'): tiles of 4 x 4, computed from 6 x 6."""
        import torch
        from torch.nn.functional import pad

        count, height, width, channels = pictures.shape
        down, across, more = out.shape[1], out.shape[3], out.shape[5]
        padded = pad(pictures, (0, 0, 1, 4 * across + 1 - width, 1, 4 * down + 1 - height)).contiguous()
        line, row, column = padded.stride()[:3]
        shape = (6, 6, count, down, across, channels)
        tiles = self._room("one", shape).copy_(padded.as_strided(shape, (row, column, line, 4 * row, 4 * column, 1)))
        many = count * down * across
        turned = self._room("two", (36, many * channels))
        torch.mm(self._input, tiles.view(36, -1), out=turned)
        products = self._room("one", (36, many, more))
        torch.bmm(turned.view(36, many, channels), self._weight, out=products)
        parts = self._room("two", (16, many * more))
        torch.mm(self._output, products.view(36, -1), out=parts)
        torch.add(parts.view(4, 4, count, down, across, more).permute(2, 3, 0, 4, 1, 5), self._bias, out=out)

    def _room(self, name: str, shape: tuple[int, ...]) -> Any:
        """A reused buffer: new memory must first be mapped, and is not in the cache."""
        import torch

        size = prod(shape)
        if name not in self._rooms or len(self._rooms[name]) < size:
            self._rooms[name] = torch.empty(size)
        return self._rooms[name][:size].view(shape)


def by_winograd(body: Any) -> Any:
    """Replace each 3 x 3 convolution of ``body``, which must stay on the CPU, in float32."""
    import torch

    rooms: dict[str, Any] = {}
    for conv in body.modules():
        if isinstance(conv, torch.nn.Conv2d) and _fits(conv):
            conv.forward = Winograd(conv, rooms)  # type: ignore[assignment]
            conv.register_parameter("weight", None)
    return body


def _fits(conv: Any) -> bool:
    of = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    return of == ((3, 3), (1, 1), (1, 1), (1, 1), 1) and conv.bias is not None


@cache
def _both_axes() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The transform matrices of input (36, 36) and output (16, 36) for both axes of a tile."""
    once, end = np.array(_INPUT, np.float32), np.array(_OUTPUT, np.float32)
    return np.kron(once, once), np.kron(end, end)
