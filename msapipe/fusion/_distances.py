"""Losses for the distance or overlap of two batches of vectors."""

from __future__ import annotations

import torch
from torch import Tensor

# Avoids an infinite gradient of the square root at zero.
EPS = 1e-12


def cmd(x: Tensor, y: Tensor, moments: int = 5) -> Tensor:
    """Central moment discrepancy of two batches: (B, d), (B, d) to ().

    Zellinger et al. (2017), for values in [0, 1]: the distance of the means plus those of the central moments from the
    2nd on.
    """
    dx, dy = x - x.mean(dim=0), y - y.mean(dim=0)
    gaps = [x.mean(dim=0) - y.mean(dim=0)]
    gaps += [dx.pow(order).mean(dim=0) - dy.pow(order).mean(dim=0) for order in range(2, moments + 1)]
    return torch.stack([gap.square().sum().clamp(min=EPS).sqrt() for gap in gaps]).sum()


def overlap(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared entry of X^T Y, rows centred and scaled to length 1 without gradient: (B, d), (B, d) to ()."""
    x, y = (part - part.mean(dim=0) for part in (x, y))
    x, y = (part / (part.detach().norm(dim=1, keepdim=True) + 1e-6) for part in (x, y))
    return (x.T @ y).square().mean()


def mmd(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    """Maximum mean discrepancy with the kernel exp(-|x - y|^2 / bandwidth): (B, d), (C, d) to ()."""

    def kernel(left: Tensor, right: Tensor) -> Tensor:
        return torch.exp(-(left.unsqueeze(1) - right).square().sum(dim=2) / bandwidth).mean()

    return kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)
