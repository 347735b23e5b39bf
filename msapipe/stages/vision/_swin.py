"""torchvision's Video Swin Transformer with windows computed without padding: equal but faster."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.stages._base import Dtype
from msapipe.stages.vision._imagenet import normalised  # Kinetics-400 uses the same normalisation

Ints = NDArray[np.int64]

# Added by torchvision to the attention logit of tokens that the cyclic shift brought together from afar.
APART = -100.0

# Number of input lengths whose biases are cached; up to 100 MB each at 128 pixels.
KEPT_SIZES = 2


@dataclass(frozen=True)
class Group:
    """Windows of one layer that have real tokens at the same positions and the same shift mask.

    tokens: int64 (n, K), the K real tokens of each of n windows, as indices of the flattened grid.
    bias: (1, heads, K, K), or (1, heads, K, K + 1) if windows hold padding, in the network's dtype. All padding of a
    window has the same key, so it appears once, with the log of the summed weights as its bias.
    """

    tokens: Any
    bias: Any


class SwinFeatures:
    """The last feature map of a Video Swin, normalised and averaged over space, without the head.

    torchvision pads the grid of tokens to whole windows and attends from and to the padding: at 128 pixels, 32, 16 and
    8 tokens become 35, 21 and 14. Here, queries, keys and values are computed only for real tokens, with equal results
    within rounding (network: Liu et al., "Video Swin Transformer", 2022).
    """

    def __init__(self, model: Any, dtype: Dtype = "float32") -> None:
        """``model``: torchvision's SwinTransformer3d in eval mode, which is converted to ``dtype``."""
        import torch

        self._dtype: torch.dtype = getattr(torch, dtype)
        self._model = model.to(self._dtype)
        self._groups: OrderedDict[tuple[int, ...], dict[int, list[Group]]] = OrderedDict()

    @property
    def width(self) -> int:
        """Columns of the result."""
        return int(self._model.num_features)

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Frames uint8 (T, H, W, 3) RGB to float32 (ceil(T / 2), width), one row per two frames."""
        import torch

        video = torch.from_numpy(normalised(pictures)).transpose(0, 1).contiguous()
        with torch.inference_mode():
            found = self._features(video[None].to(self._model.head.weight))
            return np.asarray(found.float().mean((1, 2)).cpu().numpy(), np.float32)

    def _features(self, video: Any) -> Any:
        """Normalised frames (1, 3, T, H, W) to the feature map (T', H', W', width)."""
        grid = self._model.patch_embed(video)[0]
        known = self._groups_for(tuple(grid.shape[:3]))
        for number, part in enumerate(self._model.features):
            if number % 2:  # stages alternate between blocks and patch merging
                grid = part(grid)
                continue
            for block in part:
                if id(block) not in known:
                    known[id(block)] = groups(block.attn, tuple(grid.shape[:3]))
                grid = grid + attend(block.attn, block.norm1(grid), known[id(block)])
                grid = grid + block.mlp(block.norm2(grid))
        return self._model.norm(grid)

    def _groups_for(self, size: tuple[int, ...]) -> dict[int, list[Group]]:
        """The groups of every block for inputs of this size; those of recent sizes are cached."""
        known = self._groups.setdefault(size, {})
        self._groups.move_to_end(size)
        if len(self._groups) > KEPT_SIZES:
            self._groups.popitem(last=False)
        return known


def attend(layer: Any, grid: Any, found: list[Group]) -> Any:
    """torchvision's ShiftedWindowAttention3d on tokens (T, H, W, C): the same shape."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    width = grid.shape[-1]
    projected = layer.qkv(grid.reshape(-1, width))
    seen = torch.empty_like(projected[:, :width])
    for group in found:
        count, real = group.tokens.shape
        part = projected[group.tokens]
        if group.bias.shape[-1] > real:  # padding is zero, so its projection is the bias
            part = torch.cat([part, layer.qkv.bias.expand(count, 1, -1)], dim=1)
        queries, keys, values = part.unflatten(-1, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4)
        heads = scaled_dot_product_attention(queries[:, :, :real], keys, values, attn_mask=group.bias)
        seen[group.tokens] = heads.transpose(1, 2).flatten(2)
    return layer.proj(seen).reshape(grid.shape)


def groups(layer: Any, size: tuple[int, ...]) -> list[Group]:
    """The windows of a ShiftedWindowAttention3d on a grid of ``size`` tokens, grouped by position of real tokens."""
    import torch

    # An axis with at most as many tokens as a window is one window and is not shifted.
    window = tuple(min(a, b) for a, b in zip(size, layer.window_size, strict=True))
    shift = tuple(0 if a <= b else c for a, b, c in zip(size, layer.window_size, layer.shift_size, strict=True))
    tokens, regions = windows(size, window, shift)
    alike: dict[bytes, list[int]] = {}
    for index, (token, region) in enumerate(zip(tokens, regions, strict=True)):
        alike.setdefault((token < 0).tobytes() + region.tobytes(), []).append(index)
    made = []
    for members in alike.values():
        real = np.flatnonzero(tokens[members[0]] >= 0)
        if len(real):
            indices = torch.from_numpy(tokens[members][:, real]).to(layer.qkv.weight.device)
            made.append(Group(indices, _bias(layer, real, regions[members[0]])))
    return made


def _bias(layer: Any, real: Ints, regions: Ints) -> Any:
    """The attention bias of a window whose tokens ``real`` (K,) are not padding: (1, heads, K, K or K + 1).

    regions: int64 (L,) of all its tokens.
    """
    import torch

    table = layer.relative_position_bias_table.T.float()
    padding = np.setdiff1d(np.arange(len(regions)), real)

    def between(keys: Ints, values: Any) -> tuple[Any, Any]:
        offset = layer.relative_position_index[real][:, keys]
        apart = torch.from_numpy(regions[real][:, None] != regions[keys]).to(table.device)
        return values.index_select(1, offset.flatten()).unflatten(1, offset.shape), apart

    bias, apart = between(real, table)
    bias = bias + APART * apart
    if len(padding):
        weights, apart = between(padding, table.exp())
        together = weights.masked_fill_(apart, 0).sum(-1, keepdim=True).log()  # e ** APART is zero in float32
        bias = torch.cat([bias, together], dim=-1)
    return bias.unsqueeze(0).to(layer.qkv.weight.dtype)


def windows(size: tuple[int, ...], window: tuple[int, ...], shift: tuple[int, ...]) -> tuple[Ints, Ints]:
    """The tokens of each window, and their region relative to the cyclic shift: two int64 (windows, L).

    size: tokens along time, height, width.   window, shift: along the same axes.
    Padding is token -1. Tokens of different regions are not adjacent in the frame.
    """
    padded = [-(-a // b) * b for a, b in zip(size, window, strict=True)]
    tokens = np.full(padded, -1, np.int64)
    tokens[: size[0], : size[1], : size[2]] = np.arange(np.prod(size)).reshape(size)
    tokens = np.roll(tokens, [-step for step in shift], axis=(0, 1, 2))
    regions = np.zeros(padded, np.int64)
    for axis, step in enumerate(shift):
        if step:
            side = np.zeros(padded[axis], np.int64)
            side[-step:] = 1
            regions += np.expand_dims(side << axis, [other for other in range(3) if other != axis])
    return _partition(tokens, window), _partition(regions, window)


def _partition(grid: Ints, window: tuple[int, ...]) -> Ints:
    """Partition a grid into whole windows: (windows, tokens per window)."""
    t, h, w = (a // b for a, b in zip(grid.shape, window, strict=True))
    cut = grid.reshape(t, window[0], h, window[1], w, window[2])
    return cut.transpose(0, 2, 4, 1, 3, 5).reshape(t * h * w, -1)
