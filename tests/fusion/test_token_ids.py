"""Rows of token ids are no measurements: training must not centre and scale them."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from msapipe.fusion import fusion_models
from msapipe.fusion._base import collate
from msapipe.testing import fakes
from msapipe.train.table import TensorTable
from msapipe.types import Sample

BERT = json.dumps(
    {"model_type": "bert", "vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    | {"intermediate_size": 16}
)
DIMS = {"text": 3, "audio": 4, "vision": 5}


def samples() -> list[Sample]:
    made = []
    for seed in range(6):
        features = dict(fakes.features(DIMS, steps=5, seed=seed))
        ids = torch.randint(5, 40, (5,), generator=torch.Generator().manual_seed(seed)).numpy()
        features["text"].values[:] = 0
        features["text"].values[:, 0] = ids
        made.append(Sample(f"clip{seed}", features, {"M": float(seed)}))
    return made


@pytest.mark.parametrize("name", ["agfn", "boosting", "hma"])
def test_a_standardised_split_scores_as_the_features_do(name: str) -> None:
    torch.manual_seed(0)
    model = fusion_models().get(name)(DIMS, language_config=BERT).eval()
    table = TensorTable.of(samples(), DIMS)
    for modality in ("audio", "vision"):
        mean, std = table.statistics(modality)
        model.get_buffer(f"center_{modality}").copy_(mean)
        model.get_buffer(f"std_{modality}").copy_(std)
    # What the loop would do, had the model not said that its text is raw.
    center, deviation = table.statistics("text")
    model.get_buffer("center_text").copy_(center)
    model.get_buffer("std_text").copy_(deviation)

    def scores() -> Tensor:
        with torch.inference_mode():
            return model(table.whole).score

    with torch.inference_mode():
        expected = model(collate([sample.features for sample in samples()], DIMS)).score
    table.standardize(model)
    assert torch.allclose(scores(), expected, atol=1e-5)
    assert expected.std() > 0
