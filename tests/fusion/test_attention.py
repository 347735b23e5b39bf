from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._attention import (
    SHORT,
    Attention,
    Dropout,
    Encoder,
    Layer,
    Norm,
    attended,
    causal,
    sine_positions,
)
from msapipe.fusion._dropout import kept


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mask(*ends: int, steps: int) -> Tensor:
    """The first steps of each clip are valid."""
    return torch.arange(steps) < torch.tensor(ends).unsqueeze(1)


def torchs(ours: Attention) -> nn.MultiheadAttention:
    """torch's own attention with the same weights."""
    width = ours.out_proj.in_features
    theirs = nn.MultiheadAttention(width, ours.heads, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.in_proj.weight)
        theirs.in_proj_bias.copy_(ours.in_proj.bias.copy_(normal(3 * width, seed=9)))
        theirs.out_proj.weight.copy_(ours.out_proj.weight)
        theirs.out_proj.bias.copy_(ours.out_proj.bias.copy_(normal(width, seed=8)))
    return theirs


@pytest.mark.parametrize(("width", "heads"), [(50, 10), (32, 2), (40, 2)])
def test_attention_is_that_of_torch(width: int, heads: int) -> None:
    ours = Attention(width, heads)
    theirs = torchs(ours)
    x, y = normal(3, 7, width), normal(3, 9, width, seed=1)
    own, other = mask(7, 4, 1, steps=7), mask(2, 9, 5, steps=9)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    torch.testing.assert_close(ours(x, own), theirs(x, x, x, key_padding_mask=~own)[0])
    torch.testing.assert_close(ours(x, other, y), theirs(x, y, y, key_padding_mask=~other)[0])
    pairs = torch.ones(7, 9).tril(1).bool()
    expected = theirs(x, y, y, attn_mask=~pairs)[0]
    torch.testing.assert_close(ours(x, pairs.expand(3, 7, 9), y), expected)


@pytest.mark.parametrize("steps", [SHORT, SHORT + 1], ids=["weights", "fused"])
def test_both_ways_of_attention_are_the_same(steps: int) -> None:
    query, key, value = (normal(2, 3, steps, 5, seed=seed).requires_grad_() for seed in range(3))
    visible = normal(2, 1, steps, steps, seed=4) > -1
    expected = ((query @ key.mT / 5**0.5).masked_fill(~visible, -torch.inf)).softmax(3) @ value
    found = attended(query, key, value, visible)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        *(torch.autograd.grad(out.sum(), (query, key, value)) for out in (found, expected)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_rows_without_a_valid_key_are_zero_and_have_gradients(dropout: float) -> None:
    attention = Attention(12, 3, dropout).train()
    nn.init.ones_(attention.out_proj.bias)
    x, y = normal(2, 4, 12).requires_grad_(), normal(2, 5, 12, seed=1)
    found = attention(x, mask(5, 0, steps=5), y)
    assert not found[1].any()
    assert found[0].any()
    pairs = torch.ones(2, 4, 5, dtype=torch.bool)
    pairs[0, 2] = False
    by_query = attention(x, pairs, y)
    assert not by_query[0, 2].any()
    assert by_query[0, 1].any()
    (found + by_query).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in attention.parameters())


def test_dropout_takes_pairs_at_the_given_rate_and_never_the_last_one() -> None:
    torch.manual_seed(0)
    drawn = kept((50, 1, 37, 53), 0.3, torch.device("cpu"))
    assert float(drawn.float().mean()) == pytest.approx(0.7, abs=0.01)
    assert float((drawn[:, 0, :-1] == drawn[:, 0, 1:]).float().mean()) == pytest.approx(0.58, abs=0.01)
    attention = Attention(8, 2, 0.9)
    x, one = normal(4, 3, 8), mask(1, 1, 1, 1, steps=3)
    torch.testing.assert_close(attention.train()(x, one), attention.eval()(x, one))
    several = mask(3, 3, 3, 3, steps=3)
    assert not torch.allclose(attention.train()(x, several), attention.eval()(x, several))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_layer_is_that_of_torch(norm: Norm) -> None:
    ours = Layer(16, 4, 24, norm=norm)
    theirs = nn.TransformerEncoderLayer(16, 4, 24, 0.0, batch_first=True, norm_first=norm == "pre")
    theirs.self_attn = torchs(ours.attend.attention)
    with torch.no_grad():
        for item in (ours.attend.norm, ours.feed.norm):
            item.weight.copy_(normal(16, seed=3))
    theirs.norm1, theirs.norm2 = ours.attend.norm, ours.feed.norm
    theirs.linear1, theirs.linear2 = ours.feed.layers[0], ours.feed.layers[3]
    x, valid = normal(2, 6, 16), mask(6, 3, steps=6)
    found, expected = ours(x, valid), theirs(x, src_key_padding_mask=~valid)
    torch.testing.assert_close(found[valid], expected[valid])


def test_a_crossmodal_pre_norm_layer_norms_queries_and_keys_alike() -> None:
    layer = Layer(8, 2)
    nn.init.normal_(layer.attend.norm.weight)
    x, y = normal(1, 4, 8), normal(1, 6, 8, seed=1)
    whole = torch.ones(1, 6, dtype=torch.bool)
    norm = layer.attend.norm
    expected = layer.feed(x + layer.attend.attention(norm(x), whole, norm(y)))
    torch.testing.assert_close(layer(x, whole, y), expected)


def test_hidden_units_are_four_times_the_width() -> None:
    width = 10
    expected = 4 * width**2 + 4 * width + 8 * width**2 + 5 * width + 4 * width
    assert sum(p.numel() for p in Layer(width, 2).parameters()) == expected


def test_sine_positions_by_hand() -> None:
    found = sine_positions(torch.zeros(1, 5, 7))
    assert found.shape == (5, 7)
    assert found[0].tolist() == [0, 0, 0, 1, 1, 1, 0]
    assert float(found[3, 0]) == pytest.approx(math.sin(3))
    assert float(found[3, 1]) == pytest.approx(math.sin(3 / 100))
    assert float(found[3, 5]) == pytest.approx(math.cos(3 / 10_000))
    assert all(sine_positions(torch.zeros(1, 3, width)).isfinite().all() for width in (1, 2, 3))
    assert torch.equal(sine_positions(torch.zeros(1, 4, 7), first=1), found[1:])


def test_what_a_causal_query_may_see() -> None:
    same = causal(mask(3, steps=3), mask(3, steps=3))[0]
    assert same.tolist() == torch.ones(3, 3).tril().bool().tolist()
    longer = causal(mask(2, steps=2), mask(3, steps=3))[0]
    assert longer.tolist() == [[True, True, False], [True, True, True]]
    shorter = causal(mask(3, steps=3), mask(2, steps=2))[0]
    assert shorter.tolist() == [[True, True]] * 3
    padded = causal(mask(3, 2, steps=3), mask(3, 2, steps=4))[1]
    assert padded[:2].tolist() == [[True, False, False, False], [True, True, False, False]]


@pytest.mark.parametrize("ahead", [False, True])
def test_a_causal_encoder_does_not_look_ahead(ahead: bool) -> None:
    encoder = Encoder(8, 2, 3, causal=not ahead).eval()
    x, whole = normal(1, 6, 8), torch.ones(1, 6, dtype=torch.bool)
    later = x.clone()
    later[0, 4:] *= -1
    before, after = encoder(x, whole)[0], encoder(later, whole)[0]
    assert torch.allclose(before[:4], after[:4], atol=1e-6) is not ahead
    assert not torch.allclose(before[4:], after[4:], atol=1e-2)


def test_an_encoder_ignores_padding() -> None:
    encoder = Encoder(8, 2, 2, scale=8**0.5).eval()
    x, y = normal(2, 5, 8), normal(2, 4, 8, seed=1)
    own, other = mask(5, 2, steps=5), mask(4, 3, steps=4)
    found = encoder(x, own, y, other)
    alone = encoder(x[1:, :2], own[1:, :2], y[1:, :3], other[1:, :3])
    torch.testing.assert_close(found[1:, :2], alone)
    assert not found[1, 2:].any()


def test_an_encoder_scales_then_adds_positions() -> None:
    encoder = Encoder(8, 2, 1, norm="post", scale=3.0)
    x, whole = normal(1, 5, 8), torch.ones(1, 5, dtype=torch.bool)
    torch.testing.assert_close(encoder(x, whole), encoder.layers[0](3 * x + sine_positions(x), whole))
    assert not list(encoder.norm.parameters())


def test_impossible_parameters() -> None:
    with pytest.raises(ConfigError, match="heads: found 3, expected a divisor of the width 8"):
        Attention(8, 3)
    with pytest.raises(ConfigError, match="embed: found 1"):
        Dropout(embed=1.0)
    with pytest.raises(ConfigError, match="layers: found 0"):
        Encoder(8, 2, 0)
