"""Masked bimodal adjustment: text attends to itself by what is alike in text and in another modality.

It narrows the gap between the two before one shifts the other. MBA of Lin and Hu (2023), which extends the masked
attention of CM-BERT (Yang, Xu and Gao, 2020).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._checks import check_sizes

# Keeps the root of a norm of zero from dividing by zero.
EPS = 1e-6


class Bridge(nn.Module):
    """MBA: text states attend to each other by what is alike in text and in another modality; the text stays (B, N, D).

    width, kernel: of the convolutions before.   steps: 0, or the number of steps for which a matrix weighs the
    likenesses, which ties the model to that many; with 0 one number does.
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
        """The text, and how much each of its steps attended to each (B, N, N).

        text, other: (B, N, D), (B, N, D_m); mask, there: bool (B, N), the steps of the text and of the other.
        """
        steps = text.shape[1]
        if self.steps and steps > self.steps:
            raise ConfigError(f"mba_weight: a matrix of {self.steps} steps meets a clip of {steps}; take scalar")
        alike = self._alike(_convolved(self.text, text), mask, 0)
        across = self._alike(_convolved(self.other, other), there, 1)
        weights = attention(alike, across, mask)
        return text + weights @ text, weights

    def _alike(self, states: Tensor, mask: Tensor, which: int) -> Tensor:
        """Bounded likeness of every two steps: (B, N, d) to (B, N, N)."""
        weight, bias = self.weight[which], self.bias[which]
        return likeness(states, mask, weight[: states.shape[1], : states.shape[1]] if self.steps else weight, bias)


def _convolved(conv: nn.Module, states: Tensor) -> Tensor:
    return cast(Tensor, conv(states.transpose(1, 2))).transpose(1, 2)


def likeness(states: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """tanh(w X X^T + b) of states divided by the root of their norm over the clip: (B, N, d), (B, N) to (B, N, N).

    weight: (1, 1), or (N, N), which multiplies from the left.   The norm has no gradient.
    """
    states = scaled(states, mask)
    products = states @ states.transpose(1, 2)
    weighed = weight @ products if len(weight) > 1 else weight * products
    return torch.tanh(weighed + bias)


def scaled(states: Tensor, mask: Tensor) -> Tensor:
    """Valid states divided by the root of their norm over the clip, which has no gradient: (B, N, d) stays."""
    states = states * mask.unsqueeze(-1)
    norm = states.detach().flatten(1).norm(dim=1)
    found: Tensor = states / (norm + EPS).sqrt().view(-1, 1, 1)
    return found


def attention(alike: Tensor, across: Tensor, mask: Tensor) -> Tensor:
    """Weights over the valid keys, which sum to 1 for valid queries and are 0 for others: (B, N, N)."""
    # A finite number, so that a clip without text has no NaN.
    logits = (alike + alike * across).masked_fill(~mask.unsqueeze(1), torch.finfo(alike.dtype).min)
    return logits.softmax(dim=2) * (mask.unsqueeze(1) & mask.unsqueeze(2))
