"""Gates that weight each modality's vector by its entropy or its importance.

Wu et al., "Adaptive Gated Fusion Network" (AGFN), equations 4 to 6. Vectors are stacked as (B, M, d).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msapipe.errors import ConfigError

Kind = Literal["scalar", "vector", "shared_vector", "open"]


def entropy(h: Tensor, normalised: bool = True) -> Tensor:
    """Shannon entropy of the softmax over the last axis: (..., d) to (...), in [0, log d] or, normalised, [0, 1]."""
    log_share = h.log_softmax(dim=-1)
    found = -(log_share.exp() * log_share).sum(dim=-1)
    return found / math.log(h.shape[-1]) if normalised else found


class EntropyGate(nn.Module):
    """Weights by entropy: w = softmax over m of z_m exp(-H_m / tau), fused = sum of w_m h_m.

    z is linear in all vectors.   normalised: H is divided by log d; as written in the paper, H is near log d for most
    vectors and w near 1 / M.   softplus: z is made positive, so that lower entropy never lowers a weight.   tau:
    initial value of a learned parameter, or a constant.
    """

    raw_tau: Tensor

    def __init__(
        self, count: int, d: int, normalised: bool = True, softplus: bool = False, tau: float = 1.0, learn: bool = True
    ) -> None:
        super().__init__()
        if not 0 < tau < math.inf:
            raise ConfigError(f"tau: found {tau}, expected more than 0")
        self.normalised, self.softplus = normalised, softplus
        self.logits = nn.Linear(count * d, count)
        raw = torch.tensor(tau + math.log(-math.expm1(-tau)))  # its softplus is tau
        if learn:
            self.raw_tau = nn.Parameter(raw)
        else:
            self.register_buffer("raw_tau", raw)

    def forward(self, h: Tensor, there: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, M, d), bool (B, M) to fused (B, d), w (B, M) and H (B, M)."""
        return self.weigh(h, self.logits(h.flatten(start_dim=1)), there)

    def weigh(self, h: Tensor, z: Tensor, there: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same for a given z (B, M); missing modalities have weight 0 unless all are missing."""
        unsure = entropy(h, self.normalised)
        z = F.softplus(z) if self.softplus else z
        logits = z * torch.exp(-unsure / F.softplus(self.raw_tau))
        nothing = ~there.any(dim=1, keepdim=True)
        weight = logits.masked_fill(~(there | nothing), -math.inf).softmax(dim=1)
        return (weight.unsqueeze(-1) * h).sum(dim=1), weight, unsure


class ImportanceGate(nn.Module):
    """Concatenated modalities, each multiplied by its gate g = sigmoid(z), then a linear layer.

    kind "scalar": z is (B, M), one per modality.   "vector": (B, M d), one per column.   "shared_vector": (B, d),
    shared by the modalities.   "open": no gate.   own_logits: z is linear in all vectors, otherwise it is passed in.
    """

    def __init__(self, count: int, d: int, kind: Kind = "scalar", own_logits: bool = True) -> None:
        super().__init__()
        shapes = {"scalar": (count, 1), "vector": (count, d), "shared_vector": (1, d), "open": (0, 0)}
        self.shape = shapes[kind]
        size = math.prod(self.shape)
        self.logits = nn.Linear(count * d, size) if size and own_logits else None
        self.merge = nn.Linear(count * d, d)

    def forward(self, h: Tensor, z: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, M, d), z to fused (B, d) and each modality's mean gate (B, M)."""
        if self.logits is not None:
            z = self.logits(h.flatten(start_dim=1))
        gate = torch.ones_like(h) if z is None else torch.sigmoid(z).view(-1, *self.shape).expand_as(h)
        return self.merge((gate * h).flatten(start_dim=1)), gate.mean(dim=2)


class GatedFusion(nn.Module):
    """Both gates: fused = alpha h_entropy + (1 - alpha) h_importance, with one learned alpha; or one gate alone.

    share: the importance gate uses the entropy gate's z.
    """

    def __init__(self, entropy_gate: EntropyGate | None, importance_gate: ImportanceGate | None, share: bool) -> None:
        super().__init__()
        self.entropy_gate, self.importance_gate, self.share = entropy_gate, importance_gate, share
        if entropy_gate and importance_gate:
            self.raw_alpha = nn.Parameter(torch.zeros(()))

    def forward(self, h: Tensor, there: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, M, d), bool (B, M) to fused (B, d), and w, H, g (B, M) and alpha () of the existing gates."""
        said: dict[str, Tensor] = {}
        parts = []
        if self.entropy_gate is not None:
            certain, said["w"], said["H"] = self.entropy_gate(h, there)
            parts.append(certain)
        if self.importance_gate is not None:
            z = self.entropy_gate.logits(h.flatten(start_dim=1)) if self.share and self.entropy_gate else None
            important, said["g"] = self.importance_gate(h, z)
            parts.append(important)
        if len(parts) == 1:
            return parts[0], said
        said["alpha"] = torch.sigmoid(self.raw_alpha)
        return torch.lerp(parts[1], parts[0], said["alpha"]), said
