from __future__ import annotations

import torch

from msapipe.fusion._base import collate, owners
from msapipe.fusion.lmf import Lmf
from msapipe.fusion.tfn import outer
from msapipe.testing import fakes

DIMS = {"text": 6, "audio": 5, "vision": 4}


def test_it_reads_the_whole_product_by_a_weight_of_low_rank() -> None:
    torch.manual_seed(0)
    model = Lmf(DIMS, hidden=(8, 3, 5), rank=2).eval()
    batch = collate([fakes.features(DIMS, seed=i) for i in range(3)], DIMS)
    with torch.inference_mode():
        model.fusion_bias.fill_(0.7)
        out = model(batch)
        product = outer(out.features[name] for name in ("audio", "vision", "text"))
        audio, vision, text = (model.factors[name] for name in ("audio", "vision", "text"))
        weight = torch.einsum("r,ra,rv,rt->avt", model.fusion_weights[0], audio, vision, text).flatten()
    assert weight.numel() == product.shape[1] == 4 * 6 * 5
    assert torch.allclose(out.score, product @ weight + 0.7, atol=1e-5)
    assert out.features["fused"].shape == (3, 2)


def test_weights_and_bias_of_the_fusion_learn() -> None:
    torch.manual_seed(0)
    model = Lmf(DIMS)
    assert {"fusion_weights", "fusion_bias"} <= set(owners(model, model.phases()[0]))
    before = model.fusion_weights.detach().clone(), model.fusion_bias.detach().clone()
    batch = collate([fakes.features(DIMS, seed=i) for i in range(4)], DIMS)
    batch.labels = {"M": torch.ones(4)}
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    model.loss(model(batch), batch, "all").backward()
    optimiser.step()
    assert not torch.equal(model.fusion_weights, before[0])
    assert not torch.equal(model.fusion_bias, before[1])


def test_factors_have_a_learning_rate_of_their_own() -> None:
    model = Lmf(DIMS, lr=2e-3, factor_lr=5e-4)
    phase = model.phases()[0]
    rates = {name: phase.groups[group].lr for name, group in owners(model, phase).items()}
    assert rates["factors.text"] == rates["factors.audio"] == 5e-4
    assert rates["fusion_weights"] == rates["subnets.nets.text.lstm.weight_ih_l0"] == 2e-3
