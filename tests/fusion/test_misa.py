from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from msapipe.errors import ConfigError
from msapipe.fusion._distances import cmd, overlap
from msapipe.fusion.misa import Misa
from tests.fusion._clips import BERT, DIMS, TOKEN_DIMS, labelled, learns
from tests.fusion._reference_sizes import dims_of


@pytest.mark.parametrize(
    ("corpus", "params", "count"),
    [
        ("MOSI", {}, 1_138_033),
        ("MOSEI", {}, 1_435_105),
        ("SIMS", {}, 21_664_749),
        ("SIMS v2", {"d": 64}, 20_804_909),
    ],
)
def test_parameters_are_those_of_the_reference(corpus: str, params: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        model = Misa(dims_of(corpus), **params)
    assert sum(part.numel() for part in model.parameters()) == count


def test_the_discrepancy_of_moments_by_hand(worked_numbers: Path) -> None:
    given = json.loads((worked_numbers / "modules.json").read_text())["cmd5"]
    assert float(cmd(torch.tensor(given["x1"]), torch.tensor(given["x2"]))) == pytest.approx(given["value"], abs=1e-4)


def test_equal_batches_have_a_gradient() -> None:
    x = torch.rand(4, 3, requires_grad=True)
    loss = cmd(x, x.detach().clone())
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss) < 1e-4
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_overlap_by_hand() -> None:
    # Centred rows are (1, 0) and (-1, 0), and (0, 1) and (0, -1): X^T Y is 2 at one of four places.
    x = torch.tensor([[3.0, 5.0], [1.0, 5.0]])
    y = torch.tensor([[7.0, 2.0], [7.0, 0.0]])
    assert float(overlap(x, y)) == pytest.approx(1.0, abs=1e-4)
    z = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    assert float(overlap(x, z)) == 0.0


def test_losses_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    model, batch = Misa(DIMS, d=8, feed=16, dropout=0.0).train(), labelled()
    output = model(batch)
    f = output.features
    names = ("text", "vision", "audio")
    pairs = [("text", "vision"), ("text", "audio"), ("vision", "audio")]
    apart = sum(float(overlap(f[f"private_{n}"], f[f"shared_{n}"])) for n in names)
    apart += sum(float(overlap(f[f"private_{a}"], f[f"private_{b}"])) for a, b in pairs)
    assert float(output.losses["difference"]) == pytest.approx(apart, abs=1e-5)
    alike = sum(float(cmd(f[f"shared_{a}"], f[f"shared_{b}"])) for a, b in pairs) / 3
    assert float(output.losses["similarity"]) == pytest.approx(alike, abs=1e-5)
    task = float((output.score - batch.labels["M"]).square().mean())
    whole = task + 0.1 * apart + 0.3 * alike + float(output.losses["reconstruction"])
    assert float(model.loss(output, batch, "all")) == pytest.approx(whole, abs=1e-5)
    assert not model.eval()(batch).losses


def test_gradients_are_cut_number_by_number() -> None:
    (phase,) = Misa(DIMS).phases()
    assert (phase.clip, phase.clip_by, phase.accumulate) == (0.8, "value", 2)
    with pytest.raises(ConfigError, match="clip"):
        Misa(DIMS, clip=0.0)


def test_a_language_model_is_fine_tuned() -> None:
    grads = learns(Misa(TOKEN_DIMS, d=8, feed=16, language_config=BERT), labelled(TOKEN_DIMS))
    assert max(size for name, size in grads.items() if name.startswith("text.")) > 0
    assert not [name for name in grads if name.startswith(("discriminator.", "text_norm."))]
