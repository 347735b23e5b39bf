from __future__ import annotations

import pytest
import torch

from msapipe.fusion._base import Batch
from msapipe.fusion.sf import Sf


def test_a_hand_computed_score() -> None:
    model = Sf({"text": 2, "audio": 1}, units=0).eval()
    with torch.no_grad():
        model.decision[0].weight.copy_(torch.tensor([[1.0, 10.0, 100.0]]))
        model.decision[0].bias.fill_(0.5)
    clips = Batch(
        {"text": torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]]), "audio": torch.tensor([[[7.0]]])},
        {"text": torch.tensor([[True, True, False]]), "audio": torch.tensor([[True]])},
    )
    with torch.inference_mode():
        assert float(model(clips).score[0]) == pytest.approx(2 + 40 + 700 + 0.5)
        assert model(clips).features["fused"].tolist() == [[2.0, 4.0, 7.0]]
        assert float(model(clips.without("audio")).score[0]) == pytest.approx(42.5)


def test_the_decision_block_has_the_stated_layers() -> None:
    model = Sf({"text": 3, "vision": 2}, units=4)
    assert sum(part.numel() for part in model.parameters()) == (5 * 4 + 4) + (4 + 1)
