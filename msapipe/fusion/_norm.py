"""Batch normalisation with padding masks."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

MOMENTUM = 0.1
EPS = 1e-5


class MaskedNorm(nn.Module):
    """Batch normalisation over the valid steps: (B, T, D), (B, T) to (B, T, D), zero elsewhere.

    per "column": each of the ``size`` columns over clips and time, as in ``nn.BatchNorm1d``.   "step": each of the
    first ``size`` time steps over clips and columns. The running statistics are used in eval mode, where clips do not
    affect each other, and in training where there are fewer than two values.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, size: int, per: Literal["column", "step"] = "column") -> None:
        super().__init__()
        self.per = per
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Normalise; with "step", at most ``size`` steps are allowed."""
        used = values.shape[2] if self.per == "column" else values.shape[1]
        mean, var = self.running_mean[:used], self.running_var[:used]
        if self.training:
            mean, var = self._learned(values, mask, used)
        mean, var, weight, bias = (self._wide(part) for part in (mean, var, self.weight[:used], self.bias[:used]))
        normal = (values - mean) * torch.rsqrt(var + EPS) * weight + bias
        return normal.masked_fill(~mask.unsqueeze(-1), 0.0)

    def _learned(self, values: Tensor, mask: Tensor, used: int) -> tuple[Tensor, Tensor]:
        """Statistics of this batch, each (used,); updates the running ones."""
        over = (0, 1) if self.per == "column" else (0, 2)
        weight = mask.unsqueeze(-1).to(values.dtype).expand_as(values)
        count = weight.sum(over)
        mean = (values * weight).sum(over) / count.clamp(min=1)
        var = ((values - self._wide(mean)) ** 2 * weight).sum(over) / count.clamp(min=1)
        enough = count > 1
        with torch.no_grad():
            unbiased = var * count / (count - 1).clamp(min=1)
            pairs = ((self.running_mean, mean), (self.running_var, unbiased))
            for running, found in pairs:
                running[:used] = torch.where(enough, running[:used].lerp(found, MOMENTUM), running[:used])
        return (
            torch.where(enough, mean, self.running_mean[:used]),
            torch.where(enough, var, self.running_var[:used]),
        )

    def _wide(self, part: Tensor) -> Tensor:
        """Reshape (used,) to broadcast against (B, T, D)."""
        return part.view(1, 1, -1) if self.per == "column" else part.view(1, -1, 1)
