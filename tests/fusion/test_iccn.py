from __future__ import annotations

import numpy as np
import pytest
import torch

from msapipe.errors import ConfigError
from msapipe.fusion.iccn import Iccn, canonical_correlations
from tests.fusion._clips import BERT, DIMS, TOKEN_DIMS, labelled, learns


def test_correlations_are_those_of_scikit_learn() -> None:
    from sklearn.cross_decomposition import CCA

    random = np.random.default_rng(0)
    shared = random.normal(size=(2000, 2))
    x = np.concatenate([shared, random.normal(size=(2000, 1))], 1) @ random.normal(size=(3, 3))
    y = np.concatenate([shared + 0.5 * random.normal(size=(2000, 2)), random.normal(size=(2000, 1))], 1)
    a, b = CCA(3, max_iter=2000).fit_transform(x, y)
    expected = sum(np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3))
    found = canonical_correlations(torch.from_numpy(x), torch.from_numpy(y), 1e-6)
    assert float(found.sum()) == pytest.approx(expected, abs=1e-2)
    assert found[0] > found[1] > found[2]


def test_they_have_a_gradient_where_there_are_more_columns_than_clips() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 9, requires_grad=True)
    canonical_correlations(x, torch.randn(5, 9), 1e-3).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 0


def test_correlation_is_learned_first_and_needs_no_label() -> None:
    torch.manual_seed(0)
    model, batch = Iccn(DIMS, outs=3), labelled(count=20)
    first, second = model.phases()
    assert (first.name, first.labels, first.monitor) == ("correlation", (), "loss")
    output = model.train()(batch)
    assert float(model.loss(output, batch, "correlation")) == float(output.losses["correlation"]) < 0
    whole = float((output.score - batch.labels["M"]).abs().mean()) + 0.01 * float(output.losses["correlation"])
    assert float(model.loss(output, batch, second.name)) == pytest.approx(whole, abs=1e-5)


def test_correlation_grows() -> None:
    torch.manual_seed(0)
    model, batch = Iccn(DIMS, outs=3), labelled(count=24)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    found = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = model.train().loss(model(batch), batch, "correlation")
        loss.backward()  # type: ignore[no-untyped-call]
        found.append(float(loss.detach()))
        optimiser.step()
    assert found[-1] < found[0] - 0.3


def test_fewer_modalities_and_a_language_model() -> None:
    (only,) = Iccn({"text": 6, "audio": 5}).phases()
    assert only.name == "all"
    grads = learns(Iccn(TOKEN_DIMS, language_config=BERT), labelled(TOKEN_DIMS))
    assert max(size for name, size in grads.items() if name.startswith("text.")) > 0
    with pytest.raises(ConfigError, match="no text"):
        Iccn({"audio": 5, "vision": 4})
