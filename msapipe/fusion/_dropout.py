"""Dropout by random bytes: several times as fast as torch's on a CPU, where random numbers dominate the time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from msapipe.fusion._checks import check_dropouts


def kept(shape: tuple[int, ...], dropout: float | Tensor, device: torch.device) -> Tensor:
    """True with probability 1 - dropout, to 1/256: eight bytes per random number.

    dropout: the rate, or the byte () below which an entry is dropped (``byte_of``).
    """
    count = math.prod(shape)
    drawn = torch.randint(-(2**63), 2**63 - 1, ((count + 7) // 8,), device=device)
    return (drawn.view(torch.uint8)[:count] >= (dropout if isinstance(dropout, Tensor) else _byte(dropout))).view(shape)


def byte_of(dropout: float) -> Tensor:
    """A rate as ``kept`` takes it where it is a buffer, so that modules of different rates can be applied together."""
    return torch.tensor(_byte(dropout), dtype=torch.uint8)


def _byte(dropout: float) -> int:
    return min(255, round(256 * dropout))


class ByteDropout(nn.Module):
    """nn.Dropout, with the rate rounded to 1/256."""

    def __init__(self, share: float) -> None:
        check_dropouts(share=share)
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Dropout is active only in training."""
        return dropped(values, self.share) if self.training else values


def dropped(values: Tensor, share: float) -> Tensor:
    """``functional.dropout`` in training, with the rate rounded to 1/256."""
    rate = _byte(share) / 256
    if not rate:
        return values
    # Converted to numbers: a product with booleans, or masked_fill, takes several times as long.
    return values * kept(tuple(values.shape), share, values.device).to(values.dtype).div_(1 - rate)


class DroppedLinear(nn.Linear):
    """nn.Dropout followed by nn.Linear: (B, in) to (B, out), with the dropout rate rounded to 1/256.

    Rescaling happens after the product, where there are fewer values.
    """

    def __init__(self, width: int, out: int, share: float) -> None:
        check_dropouts(share=share)
        super().__init__(width, out)
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Dropout is active only in training."""
        rate = _byte(self.share) / 256
        if not self.training or not rate:
            return super().forward(values)
        # Converted to numbers: a product with booleans, or masked_fill, takes several times as long.
        mask = kept(tuple(values.shape), self.share, values.device).to(values.dtype)
        return nn.functional.linear(values * mask, self.weight) / (1 - rate) + self.bias
