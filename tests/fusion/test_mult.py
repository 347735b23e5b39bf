from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from msapipe.errors import ConfigError
from msapipe.fusion._attention import Attention, Encoder
from msapipe.fusion._base import Batch, collate
from msapipe.fusion.mult import Mult
from msapipe.testing import fakes

DIMS = {"text": 7, "audio": 5, "vision": 4}
SMALL: dict[str, Any] = {"width": 6, "heads": 2, "layers": 2}
ZOO: dict[str, Any] = {"positions": False, "causal": True}


def made(dims: dict[str, int] | None = None, **params: Any) -> Mult:
    torch.manual_seed(0)
    return Mult(dims or DIMS, **{**SMALL, **params}).eval()


def clips(count: int = 3, steps: int = 6) -> Batch:
    return collate([fakes.features(DIMS, steps=steps + 2 * i, seed=i) for i in range(count)], DIMS)


@pytest.mark.parametrize(
    ("audio", "vision", "expected", "params"),
    [
        (5, 20, 2_571_551, {}),
        (74, 35, 982_951, {"width": 30, "heads": 6, "kernels": (5, 1, 3)}),
        (33, 709, 1_870_701, {"layers": 2, "kernels": (5, 1, 1)}),
        (33, 709, 1_001_821, {"width": 30, "heads": 6, "kernels": (5, 3, 1)}),
    ],
    ids=["mosi", "mosei", "sims", "sims_v2"],
)
def test_parameter_counts(audio: int, vision: int, expected: int, params: dict[str, Any]) -> None:
    model = Mult({"text": 768, "audio": audio, "vision": vision}, **params)
    assert sum(p.numel() for p in model.parameters()) == expected


def attended(attention: Attention, query: Tensor, key: Tensor) -> Tensor:
    """MMSA's causal attention written out: (B, Tq, d), (B, Tk, d) to (B, Tq, d)."""
    width, heads = query.shape[2], attention.heads
    parts = zip(attention.in_proj.weight.chunk(3), attention.in_proj.bias.chunk(3), (query, key, key), strict=True)
    q, k, v = (
        functional.linear(x, weight, bias).unflatten(2, (heads, -1)).transpose(1, 2) for weight, bias, x in parts
    )
    later = torch.ones(query.shape[1], key.shape[1]).triu(1 + abs(key.shape[1] - query.shape[1])).bool()
    energy = (q @ k.mT / (width // heads) ** 0.5).masked_fill(later, -torch.inf)
    return attention.out_proj((energy.softmax(-1) @ v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def encoded(encoder: Encoder, x: Tensor, y: Tensor | None = None) -> Tensor:
    """Pre-norm layers without positions."""
    x = x * x.shape[2] ** 0.5
    for layer in encoder.layers:
        norm = layer.attend.norm
        keys = norm(x) if y is None else norm(y * y.shape[2] ** 0.5)
        x = x + attended(layer.attend.attention, norm(x), keys)
        hidden = layer.feed.layers[0](layer.feed.norm(x)).relu()
        x = x + layer.feed.layers[3](hidden)
    return encoder.norm(x)  # type: ignore[no-any-return]


def test_positions_off_and_causal_on_is_the_zoos_model() -> None:
    model = made(kernels=(3, 2, 1), **ZOO)
    for item in model.modules():
        if isinstance(item, nn.LayerNorm):
            nn.init.uniform_(item.weight, 0.5, 1.5)
    batch = clips(1)
    cross = model.crossmodal
    x = {name: cross.local[name].conv(batch.values[name].mT).mT for name in DIMS}
    vectors = []
    for name in DIMS:
        found = [encoded(cross.cross[f"{name}_{other}"], x[name], x[other]) for other in DIMS if other != name]
        vectors.append(encoded(cross.memory[name], torch.cat(found, dim=2))[:, -1])
    fused = torch.cat(vectors, dim=1)
    score = model.score(model.back(model.hidden(fused).relu()) + fused)[:, 0]
    out = model(batch)
    torch.testing.assert_close(out.features["fused"], fused, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out.score, score, atol=1e-5, rtol=1e-4)


def test_fewer_modalities_have_fewer_transformers() -> None:
    two = made({"text": 7, "audio": 5})
    assert sorted(two.crossmodal.cross) == ["audio_text", "text_audio"]
    assert sorted(two.crossmodal.memory) == ["audio", "text"]
    assert two(clips()).features["fused"].shape == (3, 2 * 6)
    one = made({"audio": 5})
    assert not one.crossmodal.cross
    assert one(clips()).features["fused"].shape == (3, 6)
    assert made()(clips()).features["fused"].shape == (3, 6 * 6)


def test_a_modality_of_the_models_width_needs_no_convolution() -> None:
    model = made({"text": 6, "audio": 5})
    assert list(model.crossmodal.local) == ["audio"]
    assert model(collate([fakes.features({"text": 6, "audio": 5})], model.dims)).score.shape == (1,)


@pytest.mark.parametrize("params", [{}, ZOO], ids=["ours", "zoo"])
def test_batch_mates_and_clips_shorter_than_the_kernel(params: dict[str, Any]) -> None:
    model = made(kernels=(5, 5, 5), **params)
    features = [fakes.features(DIMS, steps=steps, seed=steps) for steps in (1, 4, 9)]
    with torch.inference_mode():
        together = model(collate(features, DIMS)).score
        alone = torch.cat([model(collate([item], DIMS)).score for item in features])
        shortest = model(collate(features[:1], DIMS)).features["text"]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert shortest.any()


@pytest.mark.parametrize("params", [{}, ZOO], ids=["ours", "zoo"])
def test_what_is_missing_or_masked_in_between(params: dict[str, Any]) -> None:
    model = made(**params)
    batch = clips()
    out = model(batch.without("vision"))
    assert out.score.isfinite().all()
    assert not out.features["vision"].any()
    assert out.features["text"].any()
    hole = clips()
    hole.mask["audio"][:, 2] = False
    before = model(hole).score
    hole.values["audio"][:, 2] = 50.0
    assert torch.equal(model(hole).score, before)
    assert not torch.allclose(before, model(batch).score)
    nothing = model(collate([{}], DIMS))
    assert nothing.score.isfinite().all()
    assert not nothing.features["fused"].any()


def test_only_positions_and_the_causal_mask_know_the_order() -> None:
    batch = clips(1)
    turned = Batch({name: part.flip(1) for name, part in batch.values.items()}, batch.mask)

    def moves(**params: Any) -> bool:
        model = made(kernels=(1, 1, 1), **params)
        return not torch.allclose(model(batch).score, model(turned).score, atol=1e-5)

    assert not moves(positions=False)
    assert moves()
    assert moves(**ZOO)


def test_gradients_are_finite_with_a_missing_modality_and_the_seed_decides_all() -> None:
    def grown() -> list[Tensor]:
        model = made().train()
        torch.manual_seed(3)
        batch = clips().without("audio")
        model(batch).score.sum().backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    first, second = grown(), grown()
    assert len(first) == len(list(made().parameters()))
    assert all(grad.isfinite().all() for grad in first)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_training_settings() -> None:
    (phase,) = made(accumulate=2, clip=1.0).phases()
    assert (phase.batch, phase.accumulate, phase.clip, phase.groups[0].lr) == (16, 2, 1.0, 2e-3)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"heads": 4}, "heads: found 4, expected a divisor of the width 6"),
        ({"kernels": (0, 1, 1)}, "kernels"),
        ({"attention_dropout": (0.0, 1.0, 0.0)}, "attention: found 1.0"),
        ({"text_dropout": -0.1}, "text_dropout: found -0.1"),
        ({"clip": 0.0}, "clip: found 0.0, expected more than 0"),
        ({"accumulate": 0}, "accumulate: found 0"),
    ],
)
def test_impossible_parameters(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(**params)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_dropout_of_one_modality_reaches_it_among_encoders_applied_together(share: float) -> None:
    model = made(attention_dropout=(0.0, share, 0.0), text_dropout=0.0, embed_dropout=0.0, output_dropout=0.0).train()
    values = {
        name: torch.randn(2, 9, width, generator=torch.Generator().manual_seed(0)) for name, width in DIMS.items()
    }
    batch = Batch(values=values, mask=dict.fromkeys(DIMS, torch.ones(2, 9, dtype=torch.bool)))
    assert model(batch).score.equal(model(batch).score) == (share == 0.0)
