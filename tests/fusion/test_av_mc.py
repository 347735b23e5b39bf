from __future__ import annotations

from typing import Any

import pytest
import torch

from msapipe.errors import ConfigError
from msapipe.fusion._base import Given
from msapipe.fusion.av_mc import AvMc
from msapipe.fusion.av_mc_semi import AvMcSemi
from tests.fusion._clips import BERT, DIMS, TOKEN_DIMS, labelled

QUIET: dict[str, Any] = {"dropout": 0.0, "post_dropout": 0.0}


def test_a_mixture_that_is_all_of_one_clip_has_the_ordinary_loss() -> None:
    torch.manual_seed(0)
    model, batch = AvMc(DIMS, **QUIET).train(), labelled()
    for part in model.modules():
        if type(part).__name__ == "MaskedNorm":
            part.eval()
    output, order = model(batch), torch.tensor([1, 2, 3, 4, 5, 0])
    ordinary = float(model.errors(output, batch.labels))
    for name in ("audio", "vision"):
        assert float(model.mixed_error(name, output, batch, torch.ones(()), order)) == pytest.approx(ordinary, abs=1e-6)
        half = float(model.mixed_error(name, output, batch, torch.tensor(0.5), order))
        assert half != pytest.approx(ordinary, abs=1e-4)


def test_the_errors_are_weighted_by_task() -> None:
    model, batch = AvMc(DIMS, tasks=(1.0, 0.2, 0.8, 0.4)).eval(), labelled()
    batch.labels["A"][2:] = float("nan")
    with torch.inference_mode():
        output = model(batch)
        said = {"M": output.score, "T": output.unimodal["text"], "V": output.unimodal["vision"]}
        expected = sum(
            w * float((said[k] - batch.labels[k]).abs().mean()) for k, w in (("M", 1), ("T", 0.2), ("V", 0.4))
        )
        expected += 0.8 * float((output.unimodal["audio"][:2] - batch.labels["A"][:2]).abs().mean())
        assert float(model.loss(output, batch, "all")) == pytest.approx(expected, abs=1e-5)
        assert (output.score.abs() <= 1).all()


def test_no_layer_of_the_clip_s_head_bends() -> None:
    head = AvMc(DIMS).fusion
    x = torch.randn(3, head.first.in_features)
    line = head.score(head.second(head.first(x)))[:, 0]
    assert torch.allclose(head.eval()(x).score, line)


def test_a_batch_without_labels_teaches_by_its_mixtures_alone() -> None:
    torch.manual_seed(0)
    model, batch = AvMcSemi(DIMS, **QUIET).train(), labelled()
    batch.labels = {name: torch.full((6,), float("nan")) for name in "MTAV"}
    loss = model.loss(model(batch), batch, "all_mixed")
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) > 0
    assert model.nets["audio"].lstms.first.weight_ih_l0.grad.abs().sum() > 0  # type: ignore[union-attr,operator]
    assert not model.heads["text"].score.weight.grad.any()  # type: ignore[union-attr,operator]
    assert float(model.loss(model(batch), batch, "all").detach()) == 0.0


def test_what_is_said_of_a_mixture_is_held_to_what_was_said_without_a_gradient() -> None:
    torch.manual_seed(0)
    model, batch = AvMcSemi(DIMS, **QUIET).train(), labelled()
    output, order = model(batch), torch.tensor([1, 0, 3, 2, 5, 4])
    share = torch.tensor(0.3)
    mixture = 0.3 * output.features["vector_audio"] + 0.7 * output.features["vector_audio"][order]
    wanted = 0.3 * output.unimodal["audio"] + 0.7 * output.unimodal["audio"][order]
    expected = (model.heads["audio"](mixture).score - wanted).abs().mean()
    found = model.mixed_error("audio", output, share, order)
    assert float(found.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    held = torch.autograd.grad(found, output.unimodal["audio"], allow_unused=True)[0]
    assert held is None
    assert float(model.mixed_error("audio", output, torch.ones(()), order).detach()) == pytest.approx(0.0, abs=1e-6)


def test_every_epoch_begins_with_all_clips() -> None:
    (phase,) = AvMcSemi(DIMS).phases()
    assert (phase.mixed, phase.labels, phase.batch) == (True, ("M",), 64)
    assert not AvMc(DIMS).phases()[0].mixed


@pytest.mark.parametrize("cls", [AvMc, AvMcSemi])
def test_the_language_model_does_not_learn_and_labels_of_modalities_are_needed(cls: type[Any]) -> None:
    from msapipe.fusion._base import owners

    model = cls(TOKEN_DIMS, language_config=BERT)
    assert not [name for name in owners(model, model.phases()[0]) if name.startswith("text.")]
    assert model.eval()(labelled(TOKEN_DIMS)).score.isfinite().all()
    assert "T, A or V" in (cls.unfit(Given(9, frozenset("M"), {}, "", True, -1, 1), {}) or "")
    assert cls.unfit(Given(9, frozenset("MA"), {}, "", True, -1, 1), {}) is None
    with pytest.raises(ConfigError, match="output_range"):
        cls(DIMS, output_range=(1.0, -1.0))
