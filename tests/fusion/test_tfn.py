from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from msapipe.fusion._base import collate
from msapipe.fusion.tfn import Tfn, outer
from msapipe.testing import fakes

DIMS = {"text": 6, "audio": 5, "vision": 4}
SMALL = {"hidden": (8, 3, 5), "text_out": 4, "units": 8}


def test_the_product_is_that_of_the_worked_numbers(worked_numbers: Path) -> None:
    given = json.loads((worked_numbers / "modules.json").read_text())["tfn_outer"]
    vectors = [torch.tensor([given[name]]) for name in ("a", "v", "t")]
    assert outer(vectors)[0].tolist() == given["z_order_a_v_t"]


def test_the_model_multiplies_in_that_order() -> None:
    torch.manual_seed(0)
    model = Tfn(DIMS, **SMALL).eval()
    batch = collate([fakes.features(DIMS, seed=i) for i in range(2)], DIMS)
    with torch.inference_mode():
        found = model(batch).features
        product = torch.einsum(
            "ba,bv,bt->bavt",
            *(torch.cat([torch.ones(2, 1), found[name]], dim=1) for name in ("audio", "vision", "text")),
        )
        raw, fused = model.decision(product.flatten(1))
        assert product[0].numel() == 4 * 6 * 5
        assert torch.allclose(found["fused"], fused, atol=1e-6)
        assert torch.allclose(model(batch).score, 6 * torch.sigmoid(raw) - 3, atol=1e-6)


def test_without_a_modality_the_product_of_the_others_is_left() -> None:
    vectors = [torch.tensor([[3.0]]), torch.tensor([[5.0, 6.0]])]
    two = outer(vectors)
    assert outer([torch.zeros(1, 2), *vectors])[0].tolist() == [*two[0].tolist(), *[0.0] * 12]
    assert outer([torch.tensor([[3.0]])]).tolist() == [[1.0, 3.0]]


def test_scores_stay_in_the_output_range() -> None:
    model = Tfn(DIMS, **SMALL, output_range=(-1.0, 1.0)).eval()
    batch = collate([fakes.features(DIMS)], DIMS)
    with torch.inference_mode():
        model.decision.score.weight.zero_()
        for bias, score in ((-50.0, -1.0), (0.0, 0.0), (50.0, 1.0)):
            model.decision.score.bias.fill_(bias)
            assert float(model(batch).score[0]) == pytest.approx(score)
    assert {"low", "span"} <= set(dict(model.named_buffers()))
    assert not {"low", "span"} & set(dict(model.named_parameters()))
