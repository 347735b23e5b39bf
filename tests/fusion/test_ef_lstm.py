from __future__ import annotations

from typing import Literal

import pytest
import torch

from msapipe.fusion._base import Batch, collate
from msapipe.fusion.ef_lstm import EfLstm
from msapipe.testing import fakes

DIMS = {"text": 6, "audio": 5, "vision": 4}


def aligned(clips: int = 3, steps: int = 7) -> Batch:
    torch.manual_seed(1)
    values = {name: torch.randn(clips, steps, width) for name, width in DIMS.items()}
    return Batch(values, {name: torch.ones(clips, steps, dtype=torch.bool) for name in DIMS})


def test_on_full_aligned_clips_it_is_the_reference() -> None:
    torch.manual_seed(0)
    model = EfLstm(DIMS, hidden=8, layers=2, dropout=0.0, steps=7).train()
    theirs = torch.nn.BatchNorm1d(7)
    clips = aligned()
    with torch.no_grad():
        _, (state, _) = model.lstm(theirs(torch.cat([clips.values[name] for name in DIMS], dim=2)))
        hidden = (state[-1] @ model.hidden[1].weight.T + model.hidden[1].bias).relu()
        expected = (hidden @ model.score[1].weight.T + model.score[1].bias)[:, 0]
        out = model(clips)
    assert torch.allclose(out.score, expected, atol=1e-5)
    assert torch.allclose(out.features["fused"], hidden, atol=1e-5)


@pytest.mark.parametrize("norm", ["step", "column"])
def test_clips_of_another_rate_or_length(norm: Literal["step", "column"]) -> None:
    """Audio at twice the rate counts as its averages; after training, padding still moves nothing."""
    torch.manual_seed(0)
    model = EfLstm(DIMS, hidden=8, layers=2, norm=norm, steps=5)
    model.train()(aligned())
    model.eval()
    twice = aligned(steps=4)
    twice.values["audio"] = aligned(steps=8).values["audio"]
    twice.mask["audio"] = torch.ones(3, 8, dtype=torch.bool)
    averaged = Batch({**twice.values, "audio": twice.values["audio"].view(3, 4, 2, 5).mean(2)}, aligned(steps=4).mask)
    with torch.inference_mode():
        assert torch.allclose(model(twice).score, model(averaged).score, atol=1e-6)
        rows = [fakes.features(DIMS, steps=2 + 4 * i, seed=i) for i in range(4)]
        together = model(collate(rows, DIMS)).score
        alone = torch.cat([model(collate([row], DIMS)).score for row in rows])
    assert torch.allclose(together, alone, atol=1e-6)


def test_the_norm_of_columns_has_no_limit_of_steps() -> None:
    model = EfLstm(DIMS, hidden=8, layers=1, norm="column")
    assert model.norm.weight.shape == (15,)
    assert model.most is None
    assert EfLstm(DIMS, hidden=8, layers=1, steps=9).norm.weight.shape == (9,)
