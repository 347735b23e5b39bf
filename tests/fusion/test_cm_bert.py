from __future__ import annotations

import pytest
import torch

from msapipe.errors import ConfigError
from msapipe.fusion.cm_bert import CmBert
from tests.fusion._clips import BERT, DIMS, TOKEN_DIMS, labelled, learns


def test_attention_is_what_is_alike_in_text_and_sound() -> None:
    torch.manual_seed(0)
    model, batch = CmBert({"text": 6, "audio": 5}, width=3).eval(), labelled(count=1)
    with torch.inference_mode():
        model.weights.copy_(torch.tensor([0.7, 0.4]))
        model.bias.fill_(0.2)
        x, a = batch.values["text"][0], batch.values["audio"][0]
        steps = len(x)
        t = x @ model.alike.weight[:, :, 0].T
        t = t / t.norm().sqrt()
        # The sound has two steps more than the text: its windows are averaged, so it is cut to as many here.
        batch.values["audio"], batch.mask["audio"] = a[None, :steps], batch.mask["text"]
        s = a[:steps] @ model.heard.weight[:, :, 0].T  # type: ignore[union-attr]
        weight = (0.7 * (t @ t.T).relu() + 0.4 * (s @ s.T).relu() + 0.2).softmax(dim=1)
        output = model(batch)
        assert torch.allclose(output.diagnostics["attention"][0], weight, atol=1e-5)
        found = model.norm(model.dense(weight @ x + x)).mean(dim=0)
        assert torch.allclose(output.features["fused"][0], found, atol=1e-5)


def test_scalars_begin_at_one_one_and_zero() -> None:
    model = CmBert(DIMS)
    assert model.weights.tolist() == [1.0, 1.0]
    assert float(model.bias.detach()) == 0.0


def test_a_language_model_is_fine_tuned_and_vision_is_not_read() -> None:
    torch.manual_seed(0)
    model, batch = CmBert(TOKEN_DIMS, language_config=BERT), labelled(TOKEN_DIMS)
    assert max(size for name, size in learns(model, batch).items() if name.startswith("text.")) > 0
    with torch.inference_mode():
        assert torch.equal(model.eval()(batch.without("vision")).score, model(batch).score)
    with pytest.raises(ConfigError, match="no text"):
        CmBert({"audio": 5})
