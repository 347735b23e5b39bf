"""A gate that shifts one modality's states by the other modalities at the same step.

Rahman et al., "Integrating Multimodal Information in Large Pretrained Transformers" (2020): the adaptation gate MAG
uses ``norm`` and dropout. Lin and Hu (2023): the shifting gate MSG does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from msapipe.errors import ConfigError
from msapipe.fusion._base import mean_over
from msapipe.fusion._checks import check_dropouts

GateBias = Literal["vector", "scalar"]

# Avoids division by the length of a zero shift.
EPS = 1e-6


class ShiftGate(nn.Module):
    """States x (B, N, width) and helpers (B, N, d_p) to shifted states and the shift h, both (B, N, width).

    h is the sum over helpers of ReLU(W [x; p] + b) * (V p), plus a bias; x* = x + eta h, with the length of eta h at
    most ``strength`` times that of x. helpers: name to width.   gate_bias: b is a vector, or a scalar.   strength:
    initial value of a positive learned parameter, or a constant.   bias "values": each V p has its own bias instead of
    a common one, as in the code of MAG.   norm: normalise the shifted states, then apply dropout.
    """

    raw_strength: Tensor

    def __init__(
        self,
        width: int,
        helpers: Mapping[str, int],
        *,
        strength: float = 1.0,
        gate_bias: GateBias = "vector",
        learn: bool = True,
        bias: Literal["sum", "values"] = "sum",
        norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_dropouts(msg_dropout=dropout)
        if strength <= 0:
            raise ConfigError(f"msg_strength: found {strength}, expected more than 0")
        whole = gate_bias == "vector"
        self.gates = nn.ModuleDict({name: nn.Linear(width + d, width, bias=whole) for name, d in helpers.items()})
        self.offsets = nn.ParameterDict({} if whole else {name: nn.Parameter(torch.zeros(1)) for name in helpers})
        own = bias == "values"
        self.values = nn.ModuleDict({name: nn.Linear(d, width, bias=own) for name, d in helpers.items()})
        self.bias = None if own else nn.Parameter(torch.zeros(width))
        raw = torch.tensor(strength + math.log(-math.expm1(-strength)))  # its softplus is the strength
        if learn:
            self.raw_strength = nn.Parameter(raw)
        else:
            self.register_buffer("raw_strength", raw)
        self.finish = nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout)) if norm else nn.Identity()

    @property
    def strength(self) -> Tensor:
        """Maximum length of a shift relative to the shifted state: ()."""
        return functional.softplus(self.raw_strength)

    def forward(self, x: Tensor, helpers: Mapping[str, Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        """mask: bool (B, N), the steps to shift; others stay, with h zero."""
        h = torch.zeros_like(x) if self.bias is None else self.bias.expand_as(x)
        for name, values in self.values.items():
            gate = self.gates[name](torch.cat([x, helpers[name]], dim=2))
            if name in self.offsets:
                gate = gate + self.offsets[name]
            h = h + functional.relu(gate) * values(helpers[name])
        h = h * mask.unsqueeze(-1)
        moved = torch.where(mask.unsqueeze(-1), self.finish(shifted(x, h, self.strength)), x)
        return moved, h


def shifted(x: Tensor, h: Tensor, strength: Tensor) -> Tensor:
    """x + eta h with eta = min(strength |x| / |h|, 1) at each step: (B, N, D), (B, N, D) to (B, N, D)."""
    return x + share(x, h, strength) * h


def share(x: Tensor, h: Tensor, strength: Tensor) -> Tensor:
    """eta, in [0, 1]: (B, N, D), (B, N, D) to (B, N, 1)."""
    ratio: Tensor = strength * x.norm(dim=-1, keepdim=True) / (h.norm(dim=-1, keepdim=True) + EPS)
    return ratio.clamp(max=1.0)


def shift_huber(h: Tensor, mask: Tensor, delta: float) -> Tensor:
    """Huber loss of the shifts' entries, averaged over the valid steps: (B, N, D), (B, N) to (), 0 without any."""
    each = functional.huber_loss(h, torch.zeros_like(h), reduction="none", delta=delta)
    return mean_over(each, mask.unsqueeze(-1).expand_as(each))
