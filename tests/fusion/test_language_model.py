from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel, XLNetConfig, XLNetModel

from msapipe.errors import ConfigError, MissingWeights, WeightsError
from msapipe.fusion._base import Batch
from msapipe.fusion._language_model import FeatureText, LanguageModel, with_tokens

SIZES: dict[str, dict[str, Any]] = {
    "bert": {
        "vocab_size": 50,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 16,
    },
    "xlnet": {"vocab_size": 50, "d_model": 32, "n_layer": 3, "n_head": 4, "d_inner": 64},
}
KINDS = sorted(SIZES)


def config(kind: str) -> str:
    return json.dumps({"model_type": kind, **SIZES[kind]})


def untouched(kind: str) -> Any:
    torch.manual_seed(5)
    model = BertModel(BertConfig(**SIZES["bert"])) if kind == "bert" else XLNetModel(XLNetConfig(**SIZES["xlnet"]))
    with torch.no_grad():
        for parameter in model.parameters():  # the first numbers are too small to see anything by
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def ours(kind: str, folder: Path) -> LanguageModel:
    """The numbers of ``untouched`` through a checkpoint folder."""
    untouched(kind).save_pretrained(folder)
    model = LanguageModel(str(folder), "", "here").eval()
    model.load()
    return model


def tokens(lengths: tuple[int, ...] = (8, 5, 1), longest: int = 8) -> Batch:
    torch.manual_seed(0)
    steps = torch.arange(longest)
    mask = steps < torch.tensor(lengths).unsqueeze(1)
    ids = torch.randint(6, 50, (len(lengths), longest)) * mask
    types = (steps >= 3).long() * mask
    return Batch({"text": torch.zeros(len(lengths), 1, 2)}, {"text": mask[:, :1]}, torch.stack([ids, mask, types], 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0, 1, 3])
def test_without_a_gate_it_is_the_untouched_model(kind: str, at: int, tmp_path: Path) -> None:
    batch = tokens()
    ids, mask, types = batch.tokens.unbind(1)  # type: ignore[union-attr]
    model = ours(kind, tmp_path)
    with torch.inference_mode():
        expected = untouched(kind)(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state
        plain = model(batch, 8)
        gated = model(batch, 8, at, lambda states: states)
        other = model(batch, 8, at, lambda states: states.flip(2))
    there = mask.bool()
    assert torch.allclose(plain[there], expected[there], atol=1e-5)
    assert torch.allclose(gated, plain, atol=1e-6)
    assert (other - plain)[there].abs().max() > 0.1
    assert not plain[~there].any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_gate_stands_behind_as_many_layers_as_asked(kind: str, tmp_path: Path) -> None:
    batch = tokens((8,))
    ids, mask, types = batch.tokens.unbind(1)  # type: ignore[union-attr]
    model = ours(kind, tmp_path)
    seen: list[Tensor] = []
    with torch.inference_mode():
        states = untouched(kind)(
            input_ids=ids, attention_mask=mask, token_type_ids=types, output_hidden_states=True
        ).hidden_states
        for at in range(4):
            model(batch, 8, at, lambda found: seen.append(found) or found)  # type: ignore[func-returns-value]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(seen, states, strict=True))


def test_an_xlnet_padded_before_is_an_xlnet_padded_behind(tmp_path: Path) -> None:
    batch = tokens((5,), 5)
    ids, mask, types = (torch.nn.functional.pad(part, (3, 0)) for part in batch.tokens.unbind(1))  # type: ignore[union-attr]
    with torch.inference_mode():
        before = untouched("xlnet")(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state[:, 3:]
        behind = ours("xlnet", tmp_path)(batch, 8)[:, :5]
    assert torch.allclose(before, behind, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_batch_mates_and_missing_text(kind: str, tmp_path: Path) -> None:
    model = ours(kind, tmp_path)
    batch = tokens((8, 5, 0))
    assert batch.tokens is not None
    with torch.inference_mode():
        together = model(batch, 8)
        alone = model(Batch({}, {"text": batch.mask["text"][1:2]}, batch.tokens[1:2, :, :5]), 5)
        off = model(batch.without("text"), 8)
    assert torch.allclose(together[1, :5], alone[0], atol=1e-5)
    assert not together[2].any()
    assert not off.any()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_put_together_again_without_its_checkpoint(kind: str, tmp_path: Path) -> None:
    model = ours(kind, tmp_path)
    again = LanguageModel("/no/such/folder", model.config, "here").eval()
    again.load_state_dict(model.state_dict(), strict=True)
    with torch.inference_mode():
        assert torch.equal(again(tokens(), 8), model(tokens(), 8))
    assert again.config == model.config


def test_every_parameter_has_a_gradient() -> None:
    for kind in KINDS:
        model = LanguageModel("", config(kind), "here")
        model(tokens(), 8).sum().backward()
        assert not [name for name, part in model.named_parameters() if part.grad is None]


def test_known_checkpoints_need_no_file_until_training_begins() -> None:
    from msapipe.fusion._language_model import KNOWN, _config

    sizes = {name: _config(name, "", "here") for name in KNOWN}
    assert {(c.hidden_size, c.num_hidden_layers, c.num_attention_heads) for c in sizes.values()} == {
        (768, 12, 12),
        (384, 6, 12),
    }
    assert sorted(c.vocab_size for c in sizes.values()) == [21128, 30522, 30522, 32000]
    small = LanguageModel("google-bert/bert-base-uncased", config("bert"), "here")
    with pytest.raises(MissingWeights, match="msapipe weights fetch google-bert/bert-base-uncased"):
        small.load()


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    untouched("bert").save_pretrained(tmp_path)
    wider = json.dumps({"model_type": "bert", **SIZES["bert"], "vocab_size": 60})
    with pytest.raises(WeightsError, match="does not fit"):
        LanguageModel(str(tmp_path), wider, "here").load()


@pytest.mark.parametrize("given", ['{"model_type": "gpt2"}', "no json", '{"model_type": "nonesuch"}', "{}", "[1]"])
def test_what_is_no_bert_and_no_xlnet_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="here: "):
        LanguageModel("", given, "here")


def test_tokens_are_read_from_text_features_and_survive_float32() -> None:
    rows = torch.tensor([[[101.0, 0, -1], [30521, 1, 0], [9, 9, 9]]])
    batch = with_tokens(Batch({"text": rows}, {"text": torch.tensor([[True, True, False]])}))
    assert batch.tokens is not None
    assert batch.tokens.tolist() == [[[101, 30521, 0], [1, 1, 0], [0, 1, 0]]]
    wide = Batch({"text": torch.zeros(1, 2, 5)}, {"text": torch.ones(1, 2, dtype=torch.bool)})
    assert with_tokens(wide).tokens is None
    with pytest.raises(ConfigError, match="text features of 5 columns"):
        LanguageModel("", config("bert"), "here").mask(wide)


def test_a_text_that_is_too_long_is_cut() -> None:
    model = LanguageModel("", config("bert"), "here").eval()
    assert model.mask(tokens((20,), 20)).shape == (1, 16)


@pytest.mark.parametrize("at", [0, 2])
def test_features_go_through_layers_and_gate(at: int) -> None:
    torch.manual_seed(0)
    model = FeatureText(3, 8, 2, 2, 0.0).eval()
    mask = torch.tensor([[True, True, False], [True, True, True]])
    batch = Batch({"text": torch.randn(2, 3, 3)}, {"text": mask})
    with torch.inference_mode():
        plain = model(batch, 5)
        assert torch.equal(model(batch, 5, at, lambda states: states), plain)
        assert not torch.allclose(model(batch, 5, at, lambda states: -states), plain)
        alone = model(Batch({"text": batch.values["text"][:1, :2]}, {"text": mask[:1, :2]}), 2)
    assert plain.shape == (2, 5, 8)
    assert torch.allclose(plain[0, :2], alone[0], atol=1e-6)
    assert not plain[0, 2:].any()


def test_the_step_that_stands_for_the_text() -> None:
    mask = torch.tensor([[True, True, True, False], [True, False, False, False], [False] * 4])
    assert LanguageModel("", config("bert"), "here").summary(mask).tolist() == [0, 0, 0]
    assert LanguageModel("", config("xlnet"), "here").summary(mask).tolist() == [2, 0, 0]
