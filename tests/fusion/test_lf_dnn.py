from __future__ import annotations

import torch
from torch import Tensor, nn

from msapipe.fusion._base import Batch, collate
from msapipe.fusion._norm import EPS
from msapipe.fusion.lf_dnn import LfDnn
from msapipe.testing import fakes

DIMS = {"text": 6, "audio": 5, "vision": 4}


def clips(count: int = 3) -> Batch:
    return collate([fakes.features(DIMS, steps=3 + i, seed=i) for i in range(count)], DIMS)


def linear(model: nn.Module, name: str, values: Tensor) -> Tensor:
    layer = model.get_submodule(name)
    return values @ layer.weight.T + layer.bias


def test_it_is_its_layers_one_by_one() -> None:
    torch.manual_seed(0)
    model = LfDnn(DIMS, hidden=(7, 3, 5), text_out=4, units=6).eval()
    batch = clips(1)
    with torch.inference_mode():
        parts = []
        for name in ("audio", "vision"):
            hidden = batch.values[name][0].mean(0) / (1 + EPS) ** 0.5
            for layer in (1, 3, 5):
                hidden = linear(model, f"subnets.nets.{name}.layers.{layer}", hidden).relu()
            parts.append(hidden)
        lstm = nn.LSTM(6, 7, batch_first=True)
        lstm.load_state_dict(model.subnets.nets["text"].lstm.state_dict())
        _, (state, _) = lstm(batch.values["text"])
        parts.append(linear(model, "subnets.nets.text.layers.1", state[0, 0]))
        joined = torch.cat(parts)
        hidden = linear(model, "decision.layers.0", joined).relu()
        hidden = linear(model, "decision.layers.2", hidden).relu()
        out = model(batch)
        expected = linear(model, "decision.score", hidden)
    assert torch.allclose(out.score, expected, atol=1e-6)
    assert torch.allclose(out.features["text"][0], parts[2], atol=1e-6)
    assert out.features["fused"].shape == (1, 6)


def test_a_missing_modality_is_a_vector_of_zeros() -> None:
    model = LfDnn(DIMS).eval()
    with torch.inference_mode():
        out = model(clips().without("vision"))
        nothing = model(collate([{}], DIMS)).features
    assert not out.features["vision"].any()
    assert out.features["text"].any()
    assert not any(nothing[name].any() for name in DIMS)


def test_absent_clips_do_not_move_the_batch_norm() -> None:
    with_absent, without = LfDnn(DIMS).train(), LfDnn(DIMS).train()
    rows = [fakes.features(DIMS, seed=i) for i in range(3)]
    with_absent(collate([*rows, {"text": rows[0]["text"]}], DIMS))
    without(collate(rows, DIMS))
    for name in ("audio", "vision"):
        mine = with_absent.subnets.nets[name].norm.running_mean
        assert mine.any()
        assert torch.allclose(mine, without.subnets.nets[name].norm.running_mean)
