from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from msapipe.errors import ConfigError
from msapipe.fusion._base import Given
from msapipe.fusion._pseudo_labels import FUSED, PseudoLabels, leaning, moved
from msapipe.fusion.self_mm import SelfMm
from tests.fusion._clips import BERT, DIMS, ROBERTA, TOKEN_DIMS, labelled, learns
from tests.fusion._reference_sizes import dims_of


@pytest.mark.parametrize(
    ("corpus", "params", "count"),
    [
        ("MOSI", {}, 159_332),
        ("MOSEI", {}, 165_668),
        ("SIMS", {"hidden": (16, 64), "units": (64, 16, 32)}, 381_380),
        ("SIMS v2", {"hidden": (16, 64), "units": (64, 32, 32)}, 382_452),
    ],
)
def test_parameters_are_those_of_the_reference(corpus: str, params: dict[str, Any], count: int) -> None:
    assert sum(part.numel() for part in SelfMm(dims_of(corpus), **params).parameters()) == count


def test_a_pseudo_label_by_hand(worked_numbers: Path) -> None:
    given = json.loads((worked_numbers / "modules.json").read_text())["self_mm_label"]
    own = leaning(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0], [-2.0, 0.0]]))
    whole = leaning(torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 1.0], [-1.0, 1.0]]))
    assert (float(own), float(whole)) == pytest.approx((given["delta_s"], given["delta_m"]))
    one = torch.ones(1)
    assert float(moved(one, one, own, whole, given["n"], 3.0)) == pytest.approx(given["label"], abs=1e-6)
    # An alpha without bound: the fused feature lies in the middle, and the guess is cut at 3.
    assert float(moved(one, one, own, torch.zeros(1), 2, 3.0)) == pytest.approx(1 / 3 + 2)


def tables() -> PseudoLabels:
    batch = labelled(count=4)
    batch.labels["M"] = torch.tensor([2.0, -1.0, 0.0, 1.0])
    found = PseudoLabels({"text": 2, FUSED: 2}, 3.0)
    found.start(lambda: [batch])
    return found


def test_labels_begin_as_the_clip_s_own_and_move_from_the_second_epoch_on() -> None:
    found = tables()
    features = {"text": torch.tensor([[3.0, 0.0], [-1.0, 0.0]]), FUSED: torch.tensor([[1.0, 0.0], [-1.0, 0.0]])}
    index = torch.tensor([0, 1])
    found.follow(features, index, 1)
    assert found.of("text").tolist() == [2.0, -1.0, 0.0, 1.0]
    assert found.get_buffer("centers_text").tolist() == [[3.0, 0.0], [-1.0, 0.0]]
    found.follow({**features, "text": torch.tensor([[1.5, 0.0], [-1.0, 0.0]])}, index, 2)
    assert found.of("text")[0] != 2.0
    assert found.of("text")[2:].tolist() == [0.0, 1.0]
    assert (found.of("text").abs() <= 3).all()


def test_a_class_without_a_clip_keeps_its_centre() -> None:
    found = tables()
    features = {"text": torch.ones(1, 2), FUSED: torch.ones(1, 2)}
    found.follow(features, torch.tensor([2]), 1)  # its label is 0: of neither class
    assert not found.get_buffer("centers_text").any()
    assert found.get_buffer("centers_text").isfinite().all()


def test_the_tables_are_in_no_model_file() -> None:
    model = SelfMm(DIMS)
    model.begin("all", lambda: [labelled()])
    assert "pseudo.label_text" in dict(model.named_buffers())
    assert not [name for name in model.state_dict() if name.startswith("pseudo.")]


def test_a_modality_learns_as_far_as_its_label_differs() -> None:
    torch.manual_seed(0)
    model, batch = SelfMm(DIMS), labelled()
    assert learns(model, batch)["heads.audio.score.weight"] == 0.0
    model.pseudo.of("audio").add_(1.0)
    model.zero_grad()
    model.loss(model(batch), batch, "all").backward()  # type: ignore[no-untyped-call]
    grads = {name: part.grad.abs().sum() for name, part in model.named_parameters() if part.grad is not None}
    assert grads["heads.audio.score.weight"] > 0
    assert grads["heads.text.score.weight"] == 0


def test_labels_of_people_take_the_place_of_guesses() -> None:
    model, batch = SelfMm(DIMS, unimodal="labels"), labelled()
    batch.labels["A"][:] = 2.0
    said = model.eval()(batch)
    expected = sum((said.unimodal[n] - batch.labels[n[0].upper()]).abs().mean() for n in ("text", "audio", "vision"))
    own = (said.score - batch.labels["M"]).abs().mean()
    assert float(model.loss(said, batch, "all")) == pytest.approx(float(own + expected), abs=1e-5)
    bare = Given(9, frozenset("M"), {}, "", True, -3, 3)
    assert "unimodal=pseudo" in (SelfMm.unfit(bare, {"unimodal": "labels"}) or "")
    assert SelfMm.unfit(bare, {}) is None


@pytest.mark.parametrize("config", [BERT, ROBERTA], ids=["bert", "roberta"])
def test_any_encoder_is_fine_tuned(config: str) -> None:
    torch.manual_seed(0)
    model, batch = SelfMm(TOKEN_DIMS, language_config=config), labelled(TOKEN_DIMS)
    grads = learns(model, batch)
    assert max(size for name, size in grads.items() if name.startswith("text.")) > 0
    model.eval()
    with torch.inference_mode():
        whole = model(batch).score
        part = labelled(TOKEN_DIMS, count=2)
        assert torch.allclose(model(part).score, whole[:2], atol=1e-5)
        assert model(batch.without("text")).score.isfinite().all()
    assert json.loads(model.kept_params()["language_config"])["model_type"] == json.loads(config)["model_type"]


def test_a_network_that_reads_in_one_direction_is_refused() -> None:
    with pytest.raises(ConfigError, match="is a gpt2, expected an encoder"):
        SelfMm(TOKEN_DIMS, language_config='{"model_type": "gpt2"}')


def test_odd_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match="label_bound"):
        SelfMm(DIMS, label_bound=0.0)
