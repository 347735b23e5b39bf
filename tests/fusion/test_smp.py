from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._attention import Attention
from msapipe.fusion._base import Batch, collate
from msapipe.fusion.smp import Branch, Promotion, Smp, on_one_length
from msapipe.testing import fakes

DIMS = {"text": 7, "audio": 5, "vision": 4}


def made(dims: dict[str, int] | None = None, **params: Any) -> Smp:
    torch.manual_seed(0)
    return Smp(dims or DIMS, **{"width": 8, "heads": 2, **params}).eval()


def clips(count: int = 3, steps: int = 6) -> Batch:
    batch = collate([fakes.features(DIMS, steps=steps + 2 * i, seed=i) for i in range(count)], DIMS)
    batch.labels = {"M": torch.tensor([-1.0, 0.0, 2.0])[:count]}
    return batch


def looked(attention: Attention, query: Tensor, key: Tensor) -> Tensor:
    """torch's attention with the weights of ours."""
    theirs = nn.MultiheadAttention(query.shape[2], attention.heads, batch_first=True)
    theirs.in_proj_weight, theirs.in_proj_bias = attention.in_proj.weight, attention.in_proj.bias
    theirs.out_proj.weight, theirs.out_proj.bias = attention.out_proj.weight, attention.out_proj.bias
    return theirs(query, key, key)[0]  # type: ignore[no-any-return]


def test_a_promotion_is_equations_1_to_9() -> None:
    torch.manual_seed(0)
    block = Promotion(8, 2, 0.1).eval()
    x, y = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    whole = torch.ones(2, 5, dtype=torch.bool)
    h1 = block.across.norm(looked(block.across.attention, x, y) + x)
    h2 = block.within.norm(looked(block.within.attention, h1, h1) + h1)
    h3 = block.feed.norm(block.feed.layers[3](block.feed.layers[0](h2).relu()) + h2)
    torch.testing.assert_close(block(x, whole, y, whole), h3)


def test_a_branch_weighs_the_valid_steps_of_a_bilstm() -> None:
    torch.manual_seed(0)
    branch = Branch(3, 6, 0.0, bilstm=True, pooled=True)
    assert branch.lstm is not None
    assert branch.weigh is not None
    values, mask = torch.randn(1, 4, 3), torch.tensor([[True, True, True, False]])
    steps = branch.lstm(branch.project(values[:, :3]))[0]
    energy = torch.tanh(branch.weigh[0](steps)) @ branch.weigh[2].weight[0]
    found, own = branch(values, mask)
    torch.testing.assert_close(found[:, :3], steps)
    torch.testing.assert_close(own, (energy.softmax(1).unsqueeze(-1) * steps).sum(1))
    assert not found[:, 3].any()


def test_a_linear_branch_is_the_projection_and_its_mean() -> None:
    branch = Branch(2, 2, 0.0, bilstm=False, pooled=True)
    with torch.no_grad():
        branch.project[0].weight.copy_(2 * torch.eye(2))
        branch.project[0].bias.copy_(torch.tensor([1.0, 0.0]))
    values = torch.tensor([[[1.0, 1.0], [3.0, 5.0], [9.0, 9.0]]])
    steps, own = branch(values, torch.tensor([[True, True, False]]))
    assert steps[0].tolist() == [[3, 2], [7, 10], [0, 0]]
    assert own[0].tolist() == [5, 6]


def test_three_modalities_give_six_features_of_128() -> None:
    model = Smp({"text": 768, "audio": 1064, "vision": 546}).eval()
    batch = collate([fakes.features(model.dims, steps=32)], model.dims)
    features = model(batch).features
    assert list(features) == ["vision", "audio", "text", "vision_audio", "vision_text", "audio_text", "fused"]
    assert features["fused"].shape == (1, 768)


@pytest.mark.parametrize(
    ("names", "pred_inputs", "expected"),
    [
        ("text", "all", ["text"]),
        ("text audio", "all", ["audio", "text", "audio_text"]),
        ("text vision", "fused_only", ["vision_text"]),
        ("text audio vision", "intra_only", ["vision", "audio", "text"]),
        ("text audio vision", "fused_only", ["vision_audio", "vision_text", "audio_text"]),
    ],
)
@pytest.mark.parametrize("branch_encoder", ["bilstm_attn", "linear"])
def test_features_by_modalities_and_inputs(
    names: str, pred_inputs: str, expected: list[str], branch_encoder: str
) -> None:
    model = made({name: DIMS[name] for name in names.split()}, pred_inputs=pred_inputs, branch_encoder=branch_encoder)
    out = model.train()(clips())
    assert list(out.features) == [*expected, "fused"]
    assert out.features["fused"].shape == (3, 8 * len(expected))
    out.score.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_tied_branches_share_their_weights() -> None:
    free, tied = made(), made(tie_branches=True)
    block = sum(p.numel() for p in Promotion(8, 2, 0.0).parameters())
    assert sum(p.numel() for p in free.parameters()) - sum(p.numel() for p in tied.parameters()) == 3 * block
    pair = tied.pairs["audio_text"]
    x, whole = torch.randn(1, 4, 8), torch.ones(1, 4, dtype=torch.bool)
    swapped = nn.Conv1d(16, 8, 1)
    with torch.no_grad():
        swapped.weight.copy_(pair.join.weight.roll(8, dims=1))
        swapped.bias.copy_(pair.join.bias)
        y = torch.randn(1, 4, 8)
        forth = pair(x, whole, y, whole)[0]
        pair.join = swapped
        torch.testing.assert_close(pair(y, whole, x, whole)[0], forth)


def test_long_sequences_keep_evenly_spaced_steps_of_their_own_length() -> None:
    steps = torch.arange(70.0).view(1, 70, 1).repeat(3, 1, 1)
    mask = torch.arange(70) < torch.tensor([[63], [20], [0]])
    short = torch.zeros(3, 2, 1)
    batch = Batch({"audio": steps, "text": short}, {"audio": mask, "text": torch.ones(3, 2, dtype=torch.bool)})
    values, masks = on_one_length(batch, ["audio", "text"], 32)
    assert values["audio"].shape == values["text"].shape == (3, 32, 1)
    assert values["audio"][0, :, 0].tolist() == [2.0 * i for i in range(32)]
    assert values["audio"][1, :20, 0].tolist() == list(range(20))
    assert masks["audio"].sum(1).tolist() == [32, 20, 0]
    assert masks["text"].sum(1).tolist() == [2, 2, 2]
    unbounded, _ = on_one_length(batch, ["audio", "text"], 0)
    assert unbounded["text"].shape == (3, 70, 1)


@pytest.mark.parametrize("params", [{}, {"pool": "max", "kernel": 3, "depth": 2, "steps": 5}], ids=["plain", "other"])
def test_batch_mates_missing_and_masked_steps(params: dict[str, Any]) -> None:
    model = made(**params)
    features = [fakes.features(DIMS, steps=steps, seed=steps) for steps in (1, 4, 40)]
    with torch.inference_mode():
        together = model(collate(features, DIMS)).score
        alone = torch.cat([model(collate([item], DIMS)).score for item in features])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
        gone = model(clips().without("vision"))
        assert gone.score.isfinite().all()
        assert not gone.features["vision"].any()
        assert gone.features["vision_text"].any()
        nothing = model(collate([{}], DIMS))
        assert nothing.score.isfinite().all()
        assert not nothing.features["fused"].any()
        hole = clips()
        hole.mask["audio"][:, 2] = False
        before = model(hole).score
        hole.values["audio"][:, 2] = 50.0
        assert torch.equal(model(hole).score, before)


def test_gradients_are_finite_with_a_missing_modality() -> None:
    for pool in ("mean", "max"):
        model = made(pool=pool).train()
        model(clips().without("audio")).score.sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_positions_and_the_bilstm_know_the_order() -> None:
    features = {name: fakes.features({name: width}, steps=6, seed=4)[name] for name, width in DIMS.items()}
    batch = collate([features], DIMS)
    turned = Batch({name: part.flip(1) for name, part in batch.values.items()}, batch.mask)

    def moves(**params: Any) -> bool:
        model = made(**params)
        return not torch.allclose(model(batch).score, model(turned).score, atol=1e-5)

    assert not moves(positions=False, branch_encoder="linear")
    assert moves(positions=True, branch_encoder="linear")
    assert moves(positions=False, branch_encoder="bilstm_attn")


def test_classes_of_labels() -> None:
    labels = torch.tensor([-0.5, -0.1, -0.0, 0.1, 0.2, float("nan")])
    assert made(neutral=0.1)._class(labels)[:5].tolist() == [0, 0, 1, 1, 2]
    assert made()._class(labels)[:5].tolist() == [0, 0, 1, 2, 2]


def test_the_two_heads() -> None:
    batch = clips()
    batch.labels["M"][2] = float("nan")
    both = made(task="both")
    out = both(batch)
    assert out.classes is not None
    error = (out.score - batch.labels["M"]).abs()[:2].mean()
    entropy = -out.classes.log_softmax(1)[[0, 1], [0, 1]].mean()
    torch.testing.assert_close(both.loss(out, batch, "all"), error + entropy)
    classes = made(task="classification")
    out = classes(batch)
    assert out.classes is not None
    share = out.classes.softmax(1)
    torch.testing.assert_close(out.score, share[:, 2] - share[:, 0])
    torch.testing.assert_close(classes.loss(out, batch, "all"), -out.classes.log_softmax(1)[[0, 1], [0, 1]].mean())
    assert [model.phases()[0].monitor for model in (both, classes)] == ["mae", "loss"]
    batch.labels["M"][:] = float("nan")
    assert float(both.loss(both(batch), batch, "all").detach()) == 0.0


@pytest.mark.parametrize(
    ("dims", "params", "message"),
    [
        ({"text": 3}, {"pred_inputs": "fused_only"}, "needs at least two of text, audio, vision"),
        (DIMS, {"width": 7, "heads": 7}, "width: found 7, expected an even number"),
        (DIMS, {"heads": 3}, "heads: found 3, expected a divisor"),
        (DIMS, {"kernel": 2}, "kernel: found 2, expected an odd number"),
        (DIMS, {"steps": -1}, "steps: found -1"),
        (DIMS, {"neutral": -0.1}, "neutral: found -0.1"),
        (DIMS, {"dropout": 1.0}, "dropout: found 1.0"),
        (DIMS, {"depth": 0}, "depth: found 0"),
    ],
)
def test_impossible_parameters(dims: dict[str, int], params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(dims, **params)
