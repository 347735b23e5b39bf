"""Late fusion: each modality gives a score by itself; the scores are averaged by how far each is trusted.

Baltrusaitis, Ahuja and Morency, "Multimodal Machine Learning: A Survey and Taxonomy" (2019), section 5.1, call it
model-agnostic late fusion. Each unimodal head is linear over the mean and the spread of the features over time.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from msapipe.fusion._base import Batch, Batches, FusionModel, Output, masked_mean, masked_std, present


class Head(nn.Module):
    """A score in [-limit, limit] from one modality: (B, T, D), (B, T) to (B,)."""

    center: Tensor
    spread: Tensor

    def __init__(self, width: int, limit: float) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, 1)
        self.limit = limit
        self.register_buffer("center", torch.zeros(2 * width))
        self.register_buffer("spread", torch.ones(2 * width))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """The score; columns are first centred and scaled by the head's own statistics."""
        pooled = _pooled(values, mask)
        score: Tensor = self.limit * torch.tanh(self.linear((pooled - self.center) / self.spread)[:, 0] / self.limit)
        return score


class Late(FusionModel):
    """Weighted mean of unimodal scores over the modalities that are there.

    (B, T_m, D_m) per modality to scores (B,) in [-limit, limit]. ``trust`` (one positive number a modality, learned)
    says how far each is believed; a missing modality's share goes to the others.
    """

    version = 1
    standardizes = False

    def __init__(self, dims: Mapping[str, int], limit: float = 3.0) -> None:
        super().__init__(dims)
        self.heads = nn.ModuleDict({name: Head(width, limit) for name, width in dims.items()})
        self.log_trust = nn.Parameter(torch.zeros(len(dims)))

    def forward(self, batch: Batch) -> Output:
        """Score a batch; a clip without any modality scores 0."""
        names = list(self.dims)
        scores = {name: self.heads[name](batch.values[name], batch.mask[name]) for name in names}
        there = torch.stack([present(batch.mask[name]) for name in names], dim=1)
        trust = self.log_trust.exp() * there
        share = trust / trust.sum(dim=1, keepdim=True).clamp(min=1e-9)
        stacked = torch.stack([scores[name] for name in names], dim=1)
        return Output(
            score=(share * stacked).sum(dim=1),
            unimodal=scores,
            features={"fused": share * stacked},
            diagnostics={"share": share.detach()},
        )

    def begin(self, phase: str, batches: Batches) -> None:
        """Centre and scale what the heads read by the training split."""
        with torch.no_grad():
            for name, head in self.heads.items():
                rows = torch.cat([_pooled(b.values[name], b.mask[name])[present(b.mask[name])] for b in batches()])
                if len(rows) > 1:
                    head.get_buffer("center").copy_(rows.mean(0))
                    head.get_buffer("spread").copy_(rows.std(0).clamp(min=1e-3))


def _pooled(values: Tensor, mask: Tensor) -> Tensor:
    """Mean and spread over time side by side: (B, T, D), (B, T) to (B, 2 D)."""
    return torch.cat([masked_mean(values, mask), masked_std(values, mask)], dim=1)
