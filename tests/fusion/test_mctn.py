from __future__ import annotations

import pytest
import torch

from msapipe.errors import ConfigError
from msapipe.fusion.mctn import Mctn
from tests.fusion._clips import DIMS, labelled
from tests.fusion._reference_sizes import dims_of


def test_parameters_are_those_of_the_reference_where_every_target_is_as_wide_as_the_text() -> None:
    found = [
        sum(part.numel() for part in Mctn(dims_of("MOSI"), outputs=outputs).parameters())
        for outputs in ("padded", "own")
    ]
    # One layer of 64 to 768 each, or those of 64 to 768, 20 and 5.
    assert found == [763_778, 763_778 - 2 * (64 * 768 + 768) + 65 * (768 + 20 + 5)]


def test_text_alone_is_read_at_test_time() -> None:
    torch.manual_seed(0)
    model, batch = Mctn(DIMS, hidden=8).eval(), labelled()
    with torch.inference_mode():
        whole = model(batch)
        assert torch.equal(model(batch.without("audio").without("vision")).score, whole.score)
        assert not whole.losses
        assert not torch.allclose(model(batch.without("text")).score, whole.score)


def test_what_was_said_is_read_next_unless_it_is_forced() -> None:
    torch.manual_seed(0)
    model, batch = Mctn(DIMS, hidden=8), labelled(count=2)
    mask = batch.mask["text"]
    joint, state = model.first.encode(batch.values["text"], mask)
    target = torch.randn(2, mask.shape[1], 4)
    other = target.clone()
    other[:, 1] += 1.0
    for forced, same in ((0.0, True), (1.0, False)):
        said = [model.first.decode(joint, state, mask, "vision", part, forced) for part in (target, other)]
        assert torch.allclose(said[0][:, :2], said[1][:, :2])
        assert torch.allclose(said[0], said[1]) is same
        assert not said[0][:, 0].any()


def test_the_way_back_goes_through_what_was_said() -> None:
    torch.manual_seed(0)
    model, batch = Mctn(DIMS, hidden=8, teacher=0.0).train(), labelled(count=3)
    losses = model(batch).losses
    assert set(losses) == {"vision", "text", "audio"}
    losses["text"].backward()
    assert model.first.outs["vision"].weight.grad.abs().sum() > 0  # type: ignore[union-attr,operator]


def test_translations_get_better() -> None:
    torch.manual_seed(0)
    model, batch = Mctn(DIMS, hidden=16, teacher=1.0).train(), labelled(count=4)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    found = []
    for _ in range(40):
        optimiser.zero_grad()
        output = model(batch)
        found.append(float(sum(output.losses.values())))
        model.loss(output, batch, "all").backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert found[-1] < 0.9 * found[0]


def test_fewer_modalities_and_none_to_translate() -> None:
    assert set(Mctn({"text": 6, "audio": 5}, hidden=4).train()(labelled()).losses) == {"audio", "text"}
    assert Mctn({"text": 6}, hidden=4).eval()(labelled()).score.isfinite().all()
    with pytest.raises(ConfigError, match="translates text"):
        Mctn({"audio": 5})
