"""Small batches, and a language model of two layers, for the tests of models."""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch

from msapipe.fusion._base import Batch, FusionModel, collate
from msapipe.testing import fakes

DIMS = {"text": 6, "audio": 5, "vision": 4}
TOKEN_DIMS = {"text": 3, "audio": 5, "vision": 4}
BERT = json.dumps(
    {
        "model_type": "bert",
        "vocab_size": 50,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
)
XLNET = json.dumps({"model_type": "xlnet", "vocab_size": 50, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64})
ROBERTA = json.dumps({**json.loads(BERT), "model_type": "roberta", "type_vocab_size": 1, "pad_token_id": 1})


def labelled(dims: Mapping[str, int] = DIMS, count: int = 6) -> Batch:
    """Clips of unlike lengths with all labels and an index; text of three columns is token ids."""
    made = collate([fakes.features(dict(dims), steps=3 + i, seed=i) for i in range(count)], dims)
    if dims.get("text") == 3:
        rows = made.values["text"].abs().mul(20).floor().clamp(2, 49)
        rows[..., 1] = 0
        made.values["text"] = rows * made.mask["text"].unsqueeze(2)
    made.labels = {letter: torch.linspace(-1, 1, count) for letter in "MTAV"}
    made.index = torch.arange(count)
    return made


def learns(model: FusionModel, batch: Batch) -> dict[str, float]:
    """One step of the last phase from its beginning: parameter that learns in it to the size of its gradient."""
    phase = model.phases()[-1]
    model.train()
    model.begin(phase.name, lambda: [batch])
    model.zero_grad()
    model.loss(model(batch), batch, phase.name).backward()  # type: ignore[no-untyped-call]
    return {name: float(p.grad.abs().sum()) for name, p in model.named_parameters() if p.grad is not None}
