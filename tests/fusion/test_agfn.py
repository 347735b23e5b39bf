"""AGFN: its gates, its cross-modal attention, its adversarial loss, and what they claim to be good for."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, Output, collate
from msapipe.fusion._gates import EntropyGate, GatedFusion, ImportanceGate, entropy
from msapipe.fusion._vat import adversarial_loss, worst_direction
from msapipe.fusion.agfn import Agfn, Recurrent, Refine
from msapipe.testing import fakes

NAMES = ("text", "audio", "vision")
DIMS = {"text": 6, "audio": 5, "vision": 4}
SMALL = {"d": 16, "heads": 4, "layers": 1}


def batch(count: int = 4, **more: int) -> Batch:
    made = collate([fakes.features(DIMS, steps=3 + i, seed=i) for i in range(count)], DIMS)
    made.labels = {"M": torch.linspace(-2, 2, count)}
    return made


def small(**params: object) -> Agfn:
    torch.manual_seed(0)
    return Agfn(DIMS, **{**SMALL, **params}).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["ieg_literal", "ieg_normalised"])
def test_entropy_gate_gives_the_worked_numbers(key: str, worked_numbers: Path) -> None:
    worked = json.loads((worked_numbers / "modules.json").read_text())[key]
    gate = EntropyGate(3, 4, normalised=key == "ieg_normalised", tau=worked["tau"])
    there = torch.ones(1, 3, dtype=torch.bool)
    fused, w, unsure = gate.weigh(torch.tensor([worked["h"]]), torch.tensor([worked["z"]]), there)
    assert unsure[0].tolist() == pytest.approx(worked["H"], abs=2e-6)
    assert w[0].tolist() == pytest.approx(worked["w"], abs=2e-6)
    assert fused[0].tolist() == pytest.approx(worked["h_entropy"], abs=2e-6)


def test_entropy_is_one_where_flat_and_zero_where_peaked() -> None:
    assert float(entropy(torch.full((7,), 3.0))) == pytest.approx(1.0)
    assert float(entropy(torch.tensor([200.0, 0, 0]))) == pytest.approx(0.0, abs=1e-6)
    assert float(entropy(torch.zeros(8), normalised=False)) == pytest.approx(math.log(8))


def test_softplus_keeps_a_certain_modality_ahead_where_a_negative_z_turns_the_gate_round() -> None:
    h = torch.tensor([[[9.0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]]])
    z, there = torch.tensor([[-1.0, -1.0]]), torch.ones(1, 2, dtype=torch.bool)
    raw = EntropyGate(2, 4).weigh(h, z, there)[1][0]
    positive = EntropyGate(2, 4, softplus=True).weigh(h, z, there)[1][0]
    assert raw[0] < raw[1]
    assert positive[0] > positive[1]


@pytest.mark.parametrize(("kind", "size"), [("scalar", 2), ("vector", 6), ("shared_vector", 3)])
def test_importance_gate_by_hand(kind: str, size: int) -> None:
    gate = ImportanceGate(2, 3, kind)  # type: ignore[arg-type]
    assert gate.logits is not None
    with torch.no_grad():
        gate.logits.weight.zero_()
        gate.logits.bias.copy_(torch.arange(size) - 1.0)
        gate.merge.weight.copy_(torch.eye(3).repeat(1, 2))  # the sum of both gated vectors
        gate.merge.bias.zero_()
    h = torch.tensor([[[1.0, 2, 3], [4, 5, 6]]])
    opened = {
        "scalar": [[-1.0] * 3, [0.0] * 3],
        "vector": [[-1.0, 0, 1], [2, 3, 4]],
        "shared_vector": [[-1.0, 0, 1]] * 2,
    }
    g = torch.sigmoid(torch.tensor(opened[kind]))
    fused, mean = gate(h)
    assert torch.allclose(fused, (g * h).sum(1), atol=1e-6)
    assert torch.allclose(mean[0], g.mean(1))


def test_blend_is_half_and_half_at_first() -> None:
    torch.manual_seed(0)
    gates = GatedFusion(EntropyGate(3, 4), ImportanceGate(3, 4), share=False)
    h, there = torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    assert gates.entropy_gate is not None
    assert gates.importance_gate is not None
    halves = gates.entropy_gate(h, there)[0], gates.importance_gate(h)[0]
    fused, said = gates(h, there)
    assert torch.allclose(fused, (halves[0] + halves[1]) / 2, atol=1e-6)
    with torch.no_grad():
        gates.raw_alpha.fill_(30.0)
    assert torch.allclose(gates(h, there)[0], halves[0], atol=1e-6)
    assert float(said["alpha"].detach()) == 0.5


def test_a_shared_projection_feeds_both_gates() -> None:
    shared_z, own_z = small(share_gate_projection=True), small()
    assert set(dict(own_z.named_parameters())) - set(dict(shared_z.named_parameters())) == {
        "gates.importance_gate.logits.weight",
        "gates.importance_gate.logits.bias",
    }
    with torch.no_grad():
        entropy_gate = shared_z.gates.entropy_gate
        assert entropy_gate is not None
        entropy_gate.logits.weight.zero_()
        entropy_gate.logits.bias.copy_(torch.tensor([-1.0, 0.0, 1.0]))
        said = shared_z(batch()).diagnostics
    assert torch.allclose(said["g"], torch.sigmoid(torch.tensor([-1.0, 0.0, 1.0])).expand(4, 3))


@pytest.mark.parametrize(
    ("fusion", "said"),
    [
        ("full", {"w", "H", "g", "alpha", "norm"}),
        ("ieg", {"w", "H", "norm"}),
        ("mig", {"g", "norm"}),
        ("none", {"g", "norm"}),
    ],
)
def test_what_each_switch_leaves(fusion: str, said: set[str]) -> None:
    model = small(fusion=fusion).train()
    out = model(batch())
    assert set(out.diagnostics) == said
    assert not any(part.requires_grad for part in out.diagnostics.values())
    if fusion == "none":
        assert bool((out.diagnostics["g"] == 1).all())
    model.loss(out, batch(), "all").backward()  # type: ignore[no-untyped-call]
    assert [name for name, item in model.named_parameters() if item.grad is None] == []


def test_weights_leave_out_what_is_missing() -> None:
    model = small()
    with torch.inference_mode():
        whole, part = model(batch()), model(batch().without("audio"))
        nothing = model(collate([{}], DIMS))
    assert torch.allclose(whole.diagnostics["w"].sum(1), torch.ones(4))
    assert bool((whole.diagnostics["w"] > 0).all())
    assert part.diagnostics["w"][:, 1].tolist() == [0.0] * 4
    assert torch.allclose(part.diagnostics["w"].sum(1), torch.ones(4))
    assert bool((part.features["audio"] == 0).all())
    assert bool(torch.isfinite(nothing.score).all())


def test_recurrent_ends_at_the_last_valid_step_and_reads_holes_as_zero() -> None:
    torch.manual_seed(0)
    encoder = Recurrent(3, 8, 2, 0.0).eval()
    values = torch.randn(1, 5, 3)
    mask = torch.tensor([[True, False, True, False, False]])
    states = encoder(values, mask)
    assert torch.allclose(states[:, :3], encoder(values[:, :3], mask[:, :3]), atol=1e-6)
    other = values.clone()
    other[:, [1, 3, 4]] = 9.0
    assert torch.equal(states, encoder(other, mask))
    assert not torch.allclose(states[:, 2], encoder(values[:, [0, 2]], mask[:, [0, 2]])[:, 1])


@pytest.mark.parametrize("shared_kv", [True, False])
def test_refine_leaves_a_modality_alone_that_has_no_others(shared_kv: bool) -> None:
    torch.manual_seed(0)
    refine = Refine(8, 2, 2, shared_kv, 0.0).eval()
    with torch.no_grad():
        for attention in refine.attentions:
            attention.out_proj.bias.fill_(1.0)  # would show where nothing is seen
    x, keys = torch.randn(2, 3, 8), torch.randn(2, 4, 8)
    unseen = torch.zeros(2, 4, dtype=torch.bool)
    alone = refine(x, [(keys, unseen), (keys, unseen)])
    assert torch.equal(alone, refine.feed(x))
    some = refine(x, [(keys, ~unseen), (keys, unseen)])
    assert not torch.allclose(alone, some)
    assert torch.equal(some, refine(x, [(keys, ~unseen), (keys + 5, unseen)]))


def test_cross_attention_switches() -> None:
    base = len(dict(small(cross_attn="none").refine))
    assert base == 0
    assert len(small().refine["text"].attentions) == 1
    assert len(small(cross_attn="pairwise").refine["text"].attentions) == 2
    alone = Agfn({"audio": 5}, **SMALL)  # type: ignore[arg-type]
    assert len(alone.refine) == 0


def test_cls_is_the_first_valid_step() -> None:
    model = small(text_pool="cls")
    steps = torch.arange(8.0).view(1, 4, 2)
    mask = torch.tensor([[False, True, True, False]])
    assert model._pooled("text", steps, mask)[0].tolist() == [2.0, 3.0]
    assert model._pooled("audio", steps, mask)[0].tolist() == [3.0, 4.0]
    assert model._pooled("text", steps, ~mask & mask)[0].tolist() == [0.0, 0.0]


def test_layernorm_gives_fused_vectors_one_length() -> None:
    with torch.inference_mode():
        fused = small(fused_layernorm=True)(batch()).features["fused"]
    assert torch.allclose(fused.norm(dim=1), torch.full((4,), 4.0), atol=1e-2)


def test_worst_direction_of_a_linear_head_is_its_weight() -> None:
    torch.manual_seed(0)
    weight, h = torch.tensor([3.0, -4.0, 0.0]), torch.randn(5, 3)
    found = worst_direction(lambda x: x @ weight, h, 1)
    assert torch.allclose(found.abs(), (weight / 5).abs().expand(5, 3), atol=1e-5)
    assert not found.requires_grad
    # The change is then rel_eps ||h|| ||weight||.
    expected = (0.1 * h.norm(dim=1) * 5).square().mean()
    assert float(adversarial_loss(lambda x: x @ weight, h, 2, 0.1)) == pytest.approx(float(expected), rel=1e-4)


def test_a_constant_head_cannot_be_attacked() -> None:
    h = torch.randn(5, 3)
    assert float(adversarial_loss(lambda x: 0 * x.sum(1) + 2, h, 3, 0.1)) == 0.0
    assert torch.allclose(worst_direction(lambda x: 0 * x.sum(1), h, 3).norm(dim=1), torch.ones(5))


def test_adversarial_loss_is_the_same_in_train_and_eval_mode_and_reaches_the_encoder() -> None:
    model = small(dropout=0.5)
    fused = model(batch()).features["fused"]
    losses = []
    for mode in (True, False):
        model.train(mode)
        torch.manual_seed(3)
        losses.append(adversarial_loss(model.head.steady, fused, 3, 0.1))
    assert losses[0].item() == losses[1].item() > 0
    losses[0].backward()  # type: ignore[no-untyped-call]
    assert model.encoders["text"].weight.grad.abs().sum() > 0


def test_only_training_is_attacked() -> None:
    model, given = small(dropout=0.0), batch()
    plain = small(dropout=0.0, vat_weight=0.0)
    out = model(given)
    assert float(model.loss(out, given, "all")) == float(plain.loss(out, given, "all"))
    model.train()
    plain.train()
    assert float(model.loss(out, given, "all")) > float(plain.loss(out, given, "all"))
    with torch.no_grad():
        assert float(model.loss(model(given), given, "all")) == float(plain.loss(plain(given), given, "all"))


@pytest.mark.parametrize(
    "bad",
    [
        {"d": 15},
        {"heads": 3},
        {"tau": 0.0},
        {"layers": 0},
        {"dropout": 1.0},
        {"vat_steps": 0},
        {"share_gate_projection": True, "fusion": "ieg"},
        {"share_gate_projection": True, "mig": "vector"},
    ],
)
def test_bad_parameters_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        small(**bad)


def test_a_language_model_in_front_reads_tokens() -> None:
    config = {"model_type": "bert", "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 16}
    model = small(language_config=json.dumps(config))
    given = batch(2)
    given.tokens = torch.zeros(2, 3, 6, dtype=torch.int64)
    given.tokens[:, 0] = torch.randint(1, 30, (2, 6))
    given.tokens[0, 1] = 1
    given.tokens[1, 1, :4] = 1
    with torch.inference_mode():
        said = model(given)
        given.tokens[1, 0, 4:] = 7
        same = model(given)
        given.tokens[1, 0, 2] = (given.tokens[1, 0, 2] + 1) % 30
        other = model(given)
    assert model.at_cls
    assert torch.allclose(said.score, same.score, atol=1e-6)
    assert not torch.allclose(same.score[1], other.score[1], atol=1e-6)


# Corrupted modalities: of each clip the same number is seen three times, and one modality may be noise.


def corrupted(
    seed: int, count: int, share: float = 0.5, always: int | None = None, split: int = 0
) -> tuple[Batch, Tensor]:
    """Clips of one step with their labels, and which modalities are noise: bool (count, 3)."""
    world = torch.Generator().manual_seed(seed)
    slope, offset = torch.randn(2, 3, 16, generator=world)
    draw = torch.Generator().manual_seed(1000 * seed + split)
    label = torch.rand(count, generator=draw) * 6 - 3
    seen = torch.tanh(0.4 * label.view(-1, 1, 1) * slope) + 0.5 * offset
    seen = seen + 0.3 * torch.randn(count, 3, 16, generator=draw)
    noisy = torch.zeros(count, 3, dtype=torch.bool)
    hit = torch.rand(count, generator=draw) < share
    noisy[torch.arange(count), torch.randint(0, 3, (count,), generator=draw)] = hit
    if always is not None:
        noisy[:] = torch.arange(3) == always
    seen = torch.where(noisy.unsqueeze(-1), 1.5 * torch.randn(count, 3, 16, generator=draw), seen)
    mask = torch.ones(count, 1, dtype=torch.bool)
    values = {name: seen[:, i : i + 1] for i, name in enumerate(NAMES)}
    return Batch(values, dict.fromkeys(NAMES, mask), labels={"M": label}), noisy


def trained(seed: int, given: Batch, steps: int, **params: object) -> Agfn:
    torch.manual_seed(seed)
    model = Agfn(dict.fromkeys(NAMES, 16), **{**SMALL, "d": 32, **params}).train()  # type: ignore[arg-type]
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(steps):
        rows = torch.randint(0, len(given), (64,))
        part = Batch(
            {name: values[rows] for name, values in given.values.items()},
            {name: mask[rows] for name, mask in given.mask.items()},
            labels={"M": given.labels["M"][rows]},
        )
        optimiser.zero_grad()
        model.loss(model(part), part, "all").backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return model.eval()


@functools.cache
def on_corrupted(fusion: str, seed: int) -> dict[str, float]:
    """Errors on clean and corrupted clips, and each gate of noise as a share of that of what is clean."""
    model = trained(seed, corrupted(seed, 3000)[0], 2000, fusion=fusion, cross_attn="none", vat_weight=0.0)
    given, noisy = corrupted(seed, 2000, split=1)
    with torch.inference_mode():
        out: Output = model(given)
    error, hit = (out.score - given.labels["M"]).abs(), noisy.any(dim=1)
    found = {"clean": float(error[~hit].mean()), "corrupted": float(error[hit].mean())}
    for gate in {"w", "g"} & set(out.diagnostics):
        opened = out.diagnostics[gate]
        found[gate] = float(opened[noisy].mean() / opened[~noisy].mean())
    return found


SEEDS = (0, 1, 2)


def mean(fusion: str, name: str) -> float:
    return sum(on_corrupted(fusion, seed)[name] for seed in SEEDS) / len(SEEDS)


# Without cross-modal attention: through it, noise is filled with what the others say, and is no longer noise.


@pytest.mark.slow
def test_gates_close_on_noise() -> None:
    assert mean("full", "w") <= 0.6
    assert mean("full", "g") <= 0.7
    assert mean("ieg", "w") <= 0.5


@pytest.mark.slow
def test_gates_lower_the_error_on_corrupted_clips_and_not_on_clean_ones() -> None:
    assert mean("full", "corrupted") <= 0.9 * mean("none", "corrupted")
    assert mean("full", "clean") <= 1.05 * mean("none", "clean")


@pytest.mark.slow
def test_a_modality_weighs_least_where_it_is_always_noise() -> None:
    """Of the entropy gate alone: the layer behind the importance gate shuts noise out by itself."""
    weights = []
    for noise in range(3):
        model = trained(0, corrupted(0, 2000, always=noise)[0], 600, cross_attn="none", vat_weight=0.0)
        with torch.no_grad():
            weights.append(model(corrupted(0, 500, always=noise, split=1)[0]).diagnostics["w"].mean(dim=0))
    assert torch.stack(weights).argmin(dim=0).tolist() == [0, 1, 2], weights


def worst_change(model: Agfn, fused: Tensor, eps: Tensor) -> float:
    """Mean largest change of the head within eps (B, 1) of each vector, from 3 random starts of 20 steps."""
    answer = model.head(fused).detach()
    worst = torch.zeros(len(fused))
    torch.manual_seed(0)
    for _ in range(3):
        direction = torch.nn.functional.normalize(torch.randn_like(fused), dim=1)
        for _ in range(20):
            direction.requires_grad_()
            change = (model.head(fused + eps * direction) - answer).abs()
            worst = torch.maximum(worst, change.detach())
            (slope,) = torch.autograd.grad(change.sum(), direction)
            direction = torch.nn.functional.normalize(direction.detach() + slope, dim=1)
    return float(worst.mean())


@functools.cache
def attacked(weight: float, layernorm: bool, seed: int) -> dict[str, float]:
    """Largest change at distance 1 and at a tenth of the vectors' length, that length, and the error."""
    given, _ = corrupted(seed, 800, share=0.3)
    model = trained(seed, given, 1500, cross_attn="none", fused_layernorm=layernorm, vat_weight=weight)
    given, _ = corrupted(seed, 1000, share=0.3, split=1)
    with torch.no_grad():
        out: Output = model(given)
    fused = out.features["fused"]
    length = fused.norm(dim=1, keepdim=True)
    return {
        "one": worst_change(model, fused, torch.ones(1)),
        "relative": worst_change(model, fused, 0.1 * length),
        "length": float(length.mean()),
        "error": float((out.score - given.labels["M"]).abs().mean()),
    }


@pytest.mark.slow
def test_training_against_attack_lowers_the_worst_change() -> None:
    none, tenth, full = (attacked(weight, True, 0) for weight in (0.0, 0.1, 1.0))
    assert tenth["one"] <= 0.85 * none["one"]
    assert full["one"] <= 0.65 * none["one"]
    assert max(tenth["error"], full["error"]) <= 1.05 * none["error"]


@pytest.mark.slow
def test_without_layernorm_only_the_change_in_relation_to_the_length_is_compared() -> None:
    assert attacked(0.1, False, 0)["relative"] <= 0.95 * attacked(0.0, False, 0)["relative"]
