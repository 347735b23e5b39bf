"""Virtual adversarial training: penalises the change of a head's output along its most sensitive direction.

Miyato et al., "Virtual Adversarial Training" (2019); on fused vectors as in Wu et al., AGFN, equation 7.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# Distance of the finite difference for the gradient.
XI = 0.1

Head = Callable[[Tensor], Tensor]


def worst_direction(head: Head, h: Tensor, steps: int) -> Tensor:
    """Unit vectors along which the head's output changes most, by power iteration: (B, d) to (B, d), detached.

    Where the head is flat, the direction stays at its random start.
    """
    h = h.detach()
    answer = head(h).detach()
    direction = F.normalize(torch.randn_like(h), dim=-1)
    for _ in range(steps):
        direction.requires_grad_()
        change = (head(h + XI * direction) - answer).square().sum()
        (slope,) = torch.autograd.grad(change, direction)
        size = slope.norm(dim=-1, keepdim=True)
        direction = torch.where(size > 0, slope / size, direction.detach())
    return direction.detach()


def adversarial_loss(head: Head, h: Tensor, steps: int, rel_eps: float) -> Tensor:
    """Mean squared change of the head's output at h + ``rel_eps`` ||h|| along the worst direction: (B, d) to ().

    The step is relative to the vector's length: longer vectors would evade a fixed one. The gradient reaches ``h`` only
    through the perturbed output. The head must not use dropout, which would be measured instead.
    """
    moved = h + rel_eps * h.norm(dim=-1, keepdim=True) * worst_direction(head, h, steps)
    return F.mse_loss(head(moved), head(h).detach())
