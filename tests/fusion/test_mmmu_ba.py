from __future__ import annotations

import torch

from msapipe.fusion.mmmu_ba import MmmuBa
from tests.fusion._clips import DIMS, labelled


def test_pairs_and_modalities_lie_side_by_side() -> None:
    model = MmmuBa(DIMS)
    assert model.score.in_features == 3 * 200 + 3 * 100
    assert MmmuBa({"text": 6, "audio": 5}, units=10).score.in_features == 20 + 20
    assert MmmuBa({"text": 6}, units=10).score.in_features == 10
    assert MmmuBa(DIMS, target="sign").score.out_features == 2


def test_a_pair_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    model, batch = MmmuBa(DIMS, hidden=4, units=3).eval(), labelled(count=3)
    batch.video = torch.zeros(3, dtype=torch.int64)
    with torch.inference_mode():
        fused = model(batch).features["fused"]
        vision, text = fused[:, 18:21], fused[:, 21:24]
        product = vision @ text.T
        assert torch.allclose(fused[:, :3], (product.softmax(1) @ text) * vision, atol=1e-6)
        assert torch.allclose(fused[:, 3:6], (product.T.softmax(1) @ vision) * text, atol=1e-6)
