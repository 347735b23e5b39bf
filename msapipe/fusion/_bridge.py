"""Masked bimodal adjustment: self-attention of the text by similarities in text and another modality.

It narrows the gap between two modalities before one shifts the other. MBA of Lin and Hu (2023) extends the masked
attention of CM-BERT (Yang, Xu and Gao, 2020).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._checks import check_sizes

# Avoids division by a zero norm.
EPS = 1e-6


class Bridge(nn.Module):
    """MBA: self-attention of text states by similarities in text and another modality; keeps (B, N, D).

    width, kernel: of the input convolutions.   steps: the number of steps of a weight matrix for the similarities,
    which then requires that many steps; 0 for a scalar weight.
    """

    def __init__(self, text: int, other: int, width: int, kernel: int, steps: int) -> None:
        super().__init__()
        check_sizes(mba_width=width, mba_kernel=kernel)
        self.text = nn.Conv1d(text, width, kernel, padding="same")
        self.other = nn.Conv1d(other, width, kernel, padding="same")
        sizes = (2, steps, steps) if steps else (2, 1, 1)
        noise = 0.02 * torch.randn(sizes) if steps else torch.zeros(sizes)
        self.weight = nn.Parameter(torch.eye(steps or 1) + noise)
        self.bias = nn.Parameter(torch.zeros(2))
        self.steps = steps

    def forward(self, text: Tensor, other: Tensor, mask: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """The text, and the attention weights of its steps (B, N, N).

        text, other: (B, N, D), (B, N, D_m); mask, there: bool (B, N), the steps of the text and of the other.
        """
        steps = text.shape[1]
        if self.steps and steps > self.steps:
            raise ConfigError(f"mba_weight: a matrix of {self.steps} steps meets a clip of {steps}; take scalar")
        alike = self._alike(convolved(self.text, text), mask, 0)
        across = self._alike(convolved(self.other, other), there, 1)
        weights = attention(alike, across, mask)
        return text + weights @ text, weights

    def _alike(self, states: Tensor, mask: Tensor, which: int) -> Tensor:
        """Bounded similarity of all pairs of steps: (B, N, d) to (B, N, N)."""
        weight, bias = self.weight[which], self.bias[which]
        return likeness(states, mask, weight[: states.shape[1], : states.shape[1]] if self.steps else weight, bias)


def convolved(conv: nn.Module, states: Tensor) -> Tensor:
    """A convolution over time: (B, N, d) to (B, N, width)."""
    return cast(Tensor, conv(states.transpose(1, 2))).transpose(1, 2)


def likeness(states: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """tanh(w X X^T + b), with states divided by the root of their norm over the clip: (B, N, d), (B, N) to (B, N, N).

    weight: (1, 1), or (N, N), multiplied from the left.   No gradient flows through the norm.
    """
    states = scaled(states, mask)
    products = states @ states.transpose(1, 2)
    weighed = weight @ products if len(weight) > 1 else weight * products
    return torch.tanh(weighed + bias)


def scaled(states: Tensor, mask: Tensor) -> Tensor:
    """Valid states divided by the root of their norm over the clip, without gradient of the norm: keeps (B, N, d)."""
    states = states * mask.unsqueeze(-1)
    norm = states.detach().flatten(1).norm(dim=1)
    found: Tensor = states / (norm + EPS).sqrt().view(-1, 1, 1)
    return found


def attention(alike: Tensor, across: Tensor, mask: Tensor) -> Tensor:
    """Attention weights over the valid keys; they sum to 1 for valid queries and are 0 for others: (B, N, N)."""
    # A finite value avoids NaN for a clip without text.
    logits = (alike + alike * across).masked_fill(~mask.unsqueeze(1), torch.finfo(alike.dtype).min)
    return logits.softmax(dim=2) * (mask.unsqueeze(1) & mask.unsqueeze(2))
