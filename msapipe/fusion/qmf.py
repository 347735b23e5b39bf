"""Modalities as quantum states: a clip is represented by measurements of their joint state.

Li et al., "Quantum-inspired Multimodal Fusion for Video Sentiment Analysis" (2021). QMF.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from msapipe.fusion._aligned import one_grid
from msapipe.fusion._base import Batch, FusionModel, Group, Output, Phase, present
from msapipe.fusion._checks import check_dropouts, check_sizes

# Avoids division by the norm of a zero vector.
EPS = 1e-8


class Density(nn.Module):
    """Steps (B, N, D), (B, N) to a density matrix: complex (B, n, n), Hermitian, trace 1, positive semidefinite.

    Each step is a unit vector r e^(i phi), with r and phi linear in it; the matrix is the mean of their outer products
    with weights that sum to 1. Without a valid step it is the identity divided by n.
    """

    def __init__(self, width: int, n: int) -> None:
        super().__init__()
        self.n = n
        self.amplitude, self.phase = nn.Linear(width, n), nn.Linear(width, n)
        self.weight = nn.Linear(width, 1)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """The mixture of the steps' states."""
        size = self.amplitude(values)
        size = size / (size.norm(dim=2, keepdim=True) + EPS)
        states = torch.polar(size.abs(), self.phase(values) + torch.pi * (size < 0))
        energy = self.weight(values)[:, :, 0].masked_fill(~mask, torch.finfo(values.dtype).min)
        weight = energy.softmax(dim=1).to(states.dtype)
        mixed = torch.einsum("bt,btm,btn->bmn", weight, states, states.conj())
        known = present(mask).view(-1, 1, 1)
        nothing = torch.eye(self.n, dtype=mixed.dtype, device=mixed.device) / self.n
        # The norm above is 1 except for EPS.
        trace = mixed.diagonal(dim1=1, dim2=2).sum(dim=1).real.clamp(min=EPS).view(-1, 1, 1)
        return torch.where(known, mixed / trace, nothing)


class Qmf(FusionModel):
    """(B, T_m, D_m) per modality, on one grid (B, N, D_m), to density matrices (B, n, n), to probabilities of
    ``measurements`` outcomes in [0, 1], to scores (B,).

    The joint state is the tensor product of the modalities' states, transformed by a learned unitary matrix, which
    entangles them; the probability of an outcome is <m| rho |m> for a learned unit vector m.
    n: of each modality; the joint state has n^M rows.   units: of the layer before the score.   All sizes and rates
    are ours.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Li et al.",
        "year": 2021,
        "inputs": "text, audio, vision",
        "aligned": "one grid",
        "tasks": "M",
        "parameters": 19_325,
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        n: int = 4,
        measurements: int = 20,
        units: int = 64,
        dropout: float = 0.2,
        lr: float = 1e-3,
    ) -> None:
        super().__init__(dims)
        check_sizes(n=n, measurements=measurements, units=units)
        check_dropouts(dropout=dropout)
        self.n, self.lr = n, lr
        joint = n ** len(dims)
        self.density = nn.ModuleDict({name: Density(width, n) for name, width in dims.items()})
        # Real and imaginary parts of the unitary matrix's generator, and of the measurement vectors.
        self.turn = nn.Parameter(0.1 * torch.randn(2, joint, joint))
        self.outcomes = nn.Parameter(torch.randn(2, measurements, joint))
        self.hidden = nn.Sequential(nn.Linear(measurements, units), nn.ReLU(), nn.Dropout(dropout))
        self.score = nn.Linear(units, 1)

    def unitary(self) -> Tensor:
        """U with U U^H = I: complex (n^M, n^M), the exponential of a skew-Hermitian matrix."""
        free = torch.complex(*self.turn)
        unitary: Tensor = torch.linalg.matrix_exp(free - free.mH)
        return unitary

    def densities(self, batch: Batch) -> dict[str, Tensor]:
        """The state of each modality: complex (B, n, n)."""
        values, mask = one_grid(self.standardized(batch), list(self.dims))
        return {
            name: density(values[name], mask & present(batch.mask[name]).unsqueeze(1))
            for name, density in self.density.items()
        }

    def chances(self, states: Mapping[str, Tensor]) -> Tensor:
        """Probability of each outcome, in [0, 1]: (B, measurements)."""
        vectors = torch.complex(*self.outcomes)
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
        # <m| U rho U^H |m>: transforming the vectors instead of the state avoids the joint state's matrix.
        seen = (vectors @ self.unitary().conj()).view(1, -1, *[self.n] * len(states))
        found = seen.expand(len(next(iter(states.values()))), *seen.shape[1:])
        for axis, state in enumerate(states.values(), 2):
            moved = found.movedim(axis, 2)
            turned = torch.einsum("bmn,bkn...->bkm...", state, moved)
            found = turned.movedim(2, axis)
        chances: Tensor = (seen.conj() * found).flatten(2).sum(dim=2).real
        return chances.clamp(0, 1)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        chances = self.chances(self.densities(batch))
        fused = self.hidden(chances)
        return Output(
            score=self.score(fused)[:, 0], features={"fused": fused}, diagnostics={"chances": chances.detach()}
        )

    def phases(self) -> tuple[Phase, ...]:
        """Ours."""
        return (Phase(groups=(Group(lr=self.lr),)),)
