from __future__ import annotations

from typing import Any

import pytest
import torch

from msapipe.fusion._distances import mmd
from msapipe.fusion.mfm import Decoder, Mfm
from tests.fusion._clips import DIMS, labelled
from tests.fusion._reference_sizes import dims_of

MOSEI: dict[str, Any] = {
    "z": (256, 80, 80),
    "z_y": 32,
    "f": (32, 80, 32),
    "f_y": 16,
    "hidden": (256, 32, 256),
    "attention": (1278, 0.5),
    "proposal": (32, 0.7),
    "retain": (64, 0.5),
    "update": (128, 0.2),
    "out": (256, 0.0),
}
SIMS: dict[str, Any] = {
    "z": (256, 32, 80),
    "z_y": 48,
    "f": (256, 80, 48),
    "f_y": 48,
    "hidden": (64, 16, 64),
    "memory": 128,
    "attention": (32, 0.5),
    "proposal": (64, 0.5),
    "retain": (64, 0.7),
    "update": (256, 0.0),
    "out": (128, 0.2),
}


@pytest.mark.parametrize(
    ("corpus", "params", "count"), [("MOSI", {}, 1_416_123), ("MOSEI", MOSEI, 5_996_541), ("SIMS", SIMS, 3_478_888)]
)
def test_parameters_are_those_of_the_reference(corpus: str, params: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        model = Mfm(dims_of(corpus), **params)
    assert sum(part.numel() for part in model.parameters()) == count


def test_the_discrepancy_tells_a_shifted_sample() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(500, 8), torch.randn(500, 8)
    assert float(mmd(x, y, 8.0)) < 0.02
    assert float(mmd(x, y + 0.5, 8.0)) > 0.05
    assert float(mmd(x, x, 8.0)) == pytest.approx(0.0, abs=1e-6)


def test_the_discrepancy_by_hand() -> None:
    one, other = torch.tensor([[0.0]]), torch.tensor([[1.0]])
    assert float(mmd(one, other, 2.0)) == pytest.approx(2 - 2 * 0.606531, abs=1e-5)


def test_a_decoder_reads_what_it_said() -> None:
    torch.manual_seed(0)
    decoder, vector = Decoder(4, 3), torch.randn(2, 4)
    first = decoder.cell(vector)
    second = decoder.cell(first[0], first)
    expected = decoder.out(torch.stack([first[0], second[0]], dim=1))
    assert torch.allclose(decoder(vector, 2), expected, atol=1e-6)


def test_padding_is_not_to_be_rebuilt_and_nothing_is_at_test_time() -> None:
    torch.manual_seed(0)
    model, batch = Mfm(DIMS, mmd=0.0).train(), labelled(count=3)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    before = model(batch).losses["text"]
    batch.values["text"][~batch.mask["text"]] = 1e3
    assert float(model(batch).losses["text"]) == pytest.approx(float(before), rel=1e-5)
    assert not model.eval()(batch).losses
