from __future__ import annotations

import torch

from msapipe.fusion.qmf import Qmf
from tests.fusion._clips import DIMS, labelled


def test_states_are_density_matrices() -> None:
    torch.manual_seed(0)
    model, batch = Qmf(DIMS, n=3).eval(), labelled()
    with torch.inference_mode():
        for rho in model.densities(batch).values():
            assert torch.allclose(rho, rho.mH, atol=1e-6)
            assert torch.allclose(rho.diagonal(dim1=1, dim2=2).sum(1).real, torch.ones(6), atol=1e-5)
            assert torch.linalg.eigvalsh(rho).min() >= -1e-6
        nothing = model.densities(batch.without("audio"))["audio"]
        assert torch.allclose(nothing, torch.eye(3).to(nothing) / 3)


def test_chances_are_those_of_the_whole_joint_state() -> None:
    torch.manual_seed(0)
    model, batch = Qmf(DIMS, n=2, measurements=5).eval(), labelled(count=2)
    with torch.inference_mode():
        states, unitary = model.densities(batch), model.unitary()
        assert torch.allclose(unitary @ unitary.mH, torch.eye(8).to(unitary), atol=1e-5)
        chances = model.chances(states)
        assert ((chances >= 0) & (chances <= 1)).all()
        vectors = torch.complex(*model.outcomes)
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
        for clip in range(2):
            whole = torch.kron(torch.kron(states["text"][clip], states["audio"][clip]), states["vision"][clip])
            turned = unitary @ whole @ unitary.mH
            expected = [(m.conj() @ turned @ m).real for m in vectors]
            assert torch.allclose(chances[clip], torch.stack(expected), atol=1e-5)


def test_a_basis_of_outcomes_is_certain() -> None:
    model, batch = Qmf({"text": 6}, n=4, measurements=4).eval(), labelled()
    with torch.inference_mode():
        model.outcomes.copy_(torch.stack([torch.eye(4), torch.zeros(4, 4)]))
        assert torch.allclose(model.chances(model.densities(batch)).sum(1), torch.ones(6), atol=1e-5)
