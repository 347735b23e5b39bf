"""The convolutional encoder of wav2vec 2.0 and HuBERT as matrix products, with time first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_FRAMES = 160_000  # outputs of the first convolution measured at once: 13 MB


@dataclass(frozen=True)
class _Layer:
    """A convolution (weight (kernel * channels in, channels out)), its layer norm and its activation."""

    kernel: int
    stride: int
    weight: torch.Tensor
    bias: torch.Tensor | None
    norm: Any
    activation: Any


class Convolutions:
    """Replaces the feature extractor of a Wav2Vec2Model or HubertModel; equal except for rounding.

    transformers stores (channels, time) and transposes for every layer norm. Here the layout is (time, channels): in a
    convolution with stride s, the first s taps are one matrix product of s adjacent rows with the weight, the next s
    taps another. The first convolution, of ten samples, is computed in float32 whatever ``dtype`` is.

    The group norm over time of base checkpoints is folded into the first convolution's weight: mean and variance of its
    channels follow from those of the samples under its kernel, which ``measure`` takes from the whole sound.
    """

    def __init__(self, extractor: Any, dtype: torch.dtype) -> None:
        """``extractor``: the feature_extractor of a float32 model; its layer norms are reused."""
        import torch

        layers = list(extractor.conv_layers)
        norm = getattr(layers[0], "layer_norm", None)
        self._group = norm if isinstance(norm, torch.nn.GroupNorm) else None
        self._dtype = dtype
        self._layers = [_layer(layer, dtype if number else torch.float32) for number, layer in enumerate(layers)]
        for layer in self._layers:
            if layer.norm is not None:
                layer.norm.to(dtype)
        self._first = self._layers[0].weight, self._layers[0].bias

    def measure(
        self, sound: torch.Tensor, mean: float = 0.0, deviation: float = 1.0, after: Callable[[], None] = lambda: None
    ) -> None:
        """Take the group norm's statistics from ``sound`` (n,), until the next call; no effect without a group norm.

        mean, deviation: the sound is normalised by them later.   after: called after each piece.
        """
        import torch

        if self._group is None:
            return
        first = self._layers[0]
        weight = first.weight.cpu().double()
        middle, spread = _moments(sound.unfold(0, first.kernel, first.stride), after)
        middle, spread = (middle - mean) / deviation, spread / deviation**2
        with torch.inference_mode():
            variance = ((spread @ weight) * weight).sum(0).clamp(min=0)
            scale = self._group.weight.cpu() / torch.sqrt(variance + self._group.eps)
            shift = self._group.bias.cpu() - (middle @ weight) * scale
            self._first = (weight * scale).to(first.weight), shift.to(first.weight)

    def __call__(self, sound: torch.Tensor) -> torch.Tensor:
        """Samples float32 (1, n) to (1, channels, T), the layout of transformers."""
        first = self._layers[0]
        weight, bias = self._first
        rows = _product(sound[0].unfold(0, first.kernel, first.stride), weight, bias).to(self._dtype)
        rows = _finished(rows, first)
        for layer in self._layers[1:]:
            rows = _finished(_convolved(rows, layer), layer)
        return rows.T[None]


def _layer(layer: Any, dtype: torch.dtype) -> _Layer:
    import torch

    conv, norm = layer.conv, getattr(layer, "layer_norm", None)
    weight = conv.weight.permute(2, 1, 0).flatten(0, 1).contiguous().to(dtype)
    bias = None if conv.bias is None else conv.bias.to(dtype)
    norm = norm if isinstance(norm, torch.nn.LayerNorm) else None
    return _Layer(conv.kernel_size[0], conv.stride[0], weight, bias, norm, layer.activation)


def _convolved(rows: torch.Tensor, layer: _Layer) -> torch.Tensor:
    """Rows (n, C) to ((n - kernel) // stride + 1, channels out)."""
    width, step = rows.shape[1], layer.stride
    count = (len(rows) - layer.kernel) // step + 1
    out = None
    for tap in range(0, layer.kernel, step):
        taps = min(step, layer.kernel - tap)
        block = rows.as_strided((count, taps * width), (step * width, 1), tap * width)
        weight = layer.weight[tap * width : (tap + taps) * width]
        out = _product(block, weight, layer.bias) if out is None else out.addmm_(block, weight)
    if out is None:
        raise ValueError("a convolution has one tap at least")
    return out


def _product(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    import torch

    return rows @ weight if bias is None else torch.addmm(bias, rows, weight)


def _finished(rows: torch.Tensor, layer: _Layer) -> torch.Tensor:
    out: torch.Tensor = layer.activation(rows if layer.norm is None else layer.norm(rows))
    return out


def _moments(frames: torch.Tensor, after: Callable[[], None]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of frames (n, k): float64 (k,) and (k, k).   after: called after each piece of them."""
    import torch

    total = torch.zeros(frames.shape[1], dtype=torch.float64)
    square = torch.zeros(frames.shape[1], frames.shape[1], dtype=torch.float64)
    for first in range(0, len(frames), _FRAMES):
        some = frames[first : first + _FRAMES].double()
        total += some.sum(0)
        square += some.T @ some
        after()
    mean = total / len(frames)
    return mean, square / len(frames) - mean.outer(mean)
