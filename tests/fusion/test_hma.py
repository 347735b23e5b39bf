from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, collate
from msapipe.fusion._bridge import Bridge, attention, likeness
from msapipe.fusion._shift_gate import ShiftGate, share, shift_huber, shifted
from msapipe.fusion._text_grid import by_words, on_text_grid
from msapipe.fusion.hma import Hma
from msapipe.testing import fakes
from msapipe.testing.contract import check_fusion

DIMS = {"text": 6, "audio": 5, "vision": 4}
BERT = json.dumps(
    {
        "model_type": "bert",
        "vocab_size": 50,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
)
XLNET = json.dumps({"model_type": "xlnet", "vocab_size": 50, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64})
TOKEN_DIMS = {"text": 3, "audio": 3, "vision": 3}


@pytest.fixture(scope="module")
def vectors(worked_numbers: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((worked_numbers / "modules.json").read_text())
    return found


def full(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.bool)


def batch(dims: dict[str, int] = DIMS, count: int = 4) -> Batch:
    made = collate([fakes.features(dims, steps=3 + i, seed=i) for i in range(count)], dims)
    if dims["text"] == 3:
        made.values["text"] = made.values["text"].abs().mul(20).floor().clamp(0, 49)
        made.values["text"][..., 1] = 0
    made.labels["M"] = torch.linspace(-1, 1, count)
    return made


@pytest.mark.parametrize("name", ["msg_mu1.0", "msg_mu0.5", "msg_small_shift"])
def test_a_shift_is_no_longer_than_its_share(vectors: dict[str, Any], name: str) -> None:
    given = vectors[name]
    x, h = (torch.tensor(given[part]).view(1, 1, -1) for part in ("x", "h"))
    mu = torch.tensor(given["mu"])
    assert float(share(x, h, mu)) == pytest.approx(given["eta"], abs=1e-5)
    assert shifted(x, h, mu)[0, 0].tolist() == pytest.approx(given["x_star"], abs=1e-5)


@pytest.mark.parametrize("strength", [0.25, 1.0, 3.0])
def test_the_share_stays_in_its_bounds_and_nothing_is_zero_by_zero(strength: float) -> None:
    torch.manual_seed(0)
    x, h = torch.randn(2, 9, 5), 10 ** torch.linspace(-3, 3, 9).view(1, 9, 1) * torch.randn(2, 9, 5)
    x[0, 0] = h[0, 1] = x[0, 2] = h[0, 2] = 0.0
    x.requires_grad_(True)
    h.requires_grad_(True)
    eta = share(x, h, torch.tensor(strength))
    assert ((eta >= 0) & (eta <= 1)).all()
    assert ((eta * h).norm(dim=2) <= strength * x.norm(dim=2) + 1e-4).all()
    shifted(x, h, torch.tensor(strength)).sum().backward()
    for part in (x, h):
        assert part.grad is not None
        assert part.grad.isfinite().all()


def test_huber_of_the_shifts(vectors: dict[str, Any]) -> None:
    given = vectors["shift_huber"]
    h = torch.tensor(given["h"])
    each = [float(shift_huber(part.view(1, 1, 1), full(1, 1), given["delta"])) for part in h]
    assert each == pytest.approx(given["per_element"], abs=1e-6)
    padded = torch.stack([h, torch.full_like(h, 7.0)]).unsqueeze(0)
    assert float(shift_huber(padded, torch.tensor([[True, False]]), 1.0)) == pytest.approx(given["mean"], abs=1e-6)
    assert float(shift_huber(padded, torch.tensor([[False, False]]), 1.0)) == 0.0


@pytest.mark.parametrize("bias", ["vector", "scalar"])
def test_a_gate_by_hand(bias: Any) -> None:
    gate = ShiftGate(1, {"audio": 1, "vision": 1}, strength=2.0, gate_bias=bias)
    assert float(gate.strength.detach()) == pytest.approx(2.0, abs=1e-6)
    with torch.no_grad():
        for part in gate.parameters():
            if part.ndim:
                part.fill_(1.0)
    x, a, v = (torch.tensor([[[number], [5.0]]]) for number in (3.0, 0.5, -9.0))
    moved, h = gate(x, {"audio": a, "vision": v}, torch.tensor([[True, False]]))
    # audio: ReLU(3 + 0.5 + 1) * 0.5; vision: ReLU(3 - 9 + 1) is 0; the bias is 1.
    assert h[0, :, 0].tolist() == pytest.approx([3.25, 0.0])
    assert moved[0, :, 0].tolist() == pytest.approx([6.25, 5.0])
    assert bias == "vector" or gate.offsets["audio"].shape == (1,)


def test_mag_normalises_what_it_shifted_and_leaves_padding_alone() -> None:
    torch.manual_seed(0)
    gate = ShiftGate(8, {"audio": 2}, norm=True)
    x = 5 + 3 * torch.randn(1, 2, 8)
    with torch.inference_mode():
        moved, _ = gate(x, {"audio": torch.randn(1, 2, 2)}, torch.tensor([[True, False]]))
    assert float(moved[0, 0].mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(moved[0, 0].std(correction=0)) == pytest.approx(1.0, abs=1e-3)
    assert torch.equal(moved[0, 1], x[0, 1])


def test_text_meets_another_modality(vectors: dict[str, Any]) -> None:
    given = vectors["mba_scalar"]
    text, other = (torch.tensor([given[part]]) for part in ("M", "V"))
    mask = torch.tensor([given["mask"]]).bool()
    one, zero = torch.ones(1, 1), torch.zeros(())
    alike, across = likeness(text, mask, one, zero), likeness(other, mask, one, zero)
    assert torch.allclose(alike[0], torch.tensor(given["p_t"]), atol=1e-5)
    assert torch.allclose(across[0], torch.tensor(given["p_v"]), atol=1e-5)
    seen = attention(alike, across, mask)[0]
    assert torch.allclose(seen[:2], torch.tensor(given["x_att"])[:2], atol=1e-5)
    assert not seen[2].any()
    bridge = Bridge(2, 2, 2, 1, 0)
    with torch.no_grad():
        for conv in (bridge.text, bridge.other):
            conv.weight.copy_(torch.eye(2).unsqueeze(2))
            conv.bias.zero_()  # type: ignore[union-attr]
        found, _ = bridge(text * mask.unsqueeze(2), other, mask, mask)
    assert torch.allclose(found[0], torch.tensor(given["M_tv"]), atol=1e-5)


@pytest.mark.parametrize("steps", [0, 7])
def test_attention_is_over_valid_keys_and_a_clip_s_own(steps: int) -> None:
    torch.manual_seed(0)
    bridge = Bridge(4, 3, 5, 3, steps)
    mask = torch.arange(6) < torch.tensor([[6], [3], [0]])
    text, other = torch.randn(3, 6, 4) * mask.unsqueeze(2), 100 * torch.randn(3, 6, 3)
    weights = attention(10 * torch.randn(3, 6, 6), torch.randn(3, 6, 6), mask)
    assert torch.allclose(weights.sum(2), mask.float(), atol=1e-6)
    assert not weights[1, :, 3:].any()
    with torch.inference_mode():
        together, _ = bridge(text, other * mask.unsqueeze(2), mask, mask)
        alone = bridge(text[1:2, :3], other[1:2, :3], mask[1:2, :3], mask[1:2, :3])
        logits = likeness(other, mask, torch.ones(1, 1), torch.zeros(()))
    assert torch.allclose(together[1, :3], alone[0], atol=1e-5)
    assert logits.abs().max() <= 1
    if steps:
        assert bridge.weight.shape == (2, 7, 7)
        with pytest.raises(ConfigError, match="matrix of 7 steps meets a clip of 8"):
            bridge(torch.zeros(1, 8, 4), torch.zeros(1, 8, 3), full(1, 8), full(1, 8))


def test_steps_of_an_aligned_clip_stay_where_they_are() -> None:
    values = torch.tensor([[1.0, 2, 3, 4, 5, 6, 0, 0]]).unsqueeze(2)
    text = torch.tensor([[True] * 4])

    def grid(steps: int, aligned: bool, text: Tensor | None = text) -> list[float]:
        made = Batch({"audio": values}, {"audio": torch.arange(8).unsqueeze(0) < steps})
        found, mask = on_text_grid(made, text, ["audio"], aligned, 512)
        assert mask.all()
        return [round(number, 3) for number in found["audio"][0, :, 0].tolist()]

    assert grid(3, aligned=True) == [1, 2, 3, 0]  # the last token, [SEP], has no sound
    assert grid(3, aligned=False) == [1, 1.5, 2.5, 3]
    assert grid(4, aligned=True) == grid(4, aligned=False) == [1, 2, 3, 4]
    assert grid(6, aligned=True) == grid(6, aligned=False) == [1.5, 2.5, 4.5, 5.5]
    assert grid(6, aligned=True, text=None) == [1, 2, 3, 4, 5, 6]
    assert grid(0, aligned=True) == [0, 0, 0, 0]


ROWS: dict[str, dict[str, Any]] = {
    "none": {"msg": (), "mba": False, "huber": False},
    "text": {"msg": ("text",), "mba": False, "huber": False},
    "text_audio": {"msg": ("text", "audio"), "mba": False, "huber": False},
    "no_huber": {"huber": False},
    "scalar_bias": {"gate_bias": "scalar", "msg_norm": True},
    "matrix": {"mba_weight": "matrix", "mba_steps": 12, "mba_kernel": 3},
    "crossed": {"mba_route": "crossed"},
    "mean": {"summary": "masked_mean", "aligned": False},
    "blstm": {"rnn": "blstm"},
    "sgru": {"rnn": "sgru"},
    "bgru": {"rnn": "bgru"},
    "first": {"insert_layer": 0},
    "last": {"insert_layer": 3},
}


@pytest.mark.parametrize("row", sorted(ROWS))
def test_every_switch_trains_whole_and_leaves_clips_to_themselves(row: str) -> None:
    torch.manual_seed(0)
    model = Hma(DIMS, **ROWS[row])
    given = batch()
    output = model(given)
    model.loss(output, given, "all").backward()  # type: ignore[no-untyped-call]
    assert not [name for name, part in model.named_parameters() if part.grad is None]
    check_alone(model, DIMS)


def check_alone(model: Hma, dims: dict[str, int]) -> None:
    given = batch(dims)
    with torch.inference_mode():
        together = model.eval()(given).score
        for i in (0, 3):
            ends = {name: int(mask[i].sum()) for name, mask in given.mask.items()}
            one = Batch(
                {name: values[i : i + 1, : ends[name]] for name, values in given.values.items()},
                {name: mask[i : i + 1, : ends[name]] for name, mask in given.mask.items()},
            )
            assert torch.allclose(model(one).score, together[i], atol=1e-5)
        for name in dims:
            assert model(given.without(name)).score.isfinite().all()
            assert not torch.allclose(model(given.without(name)).score, together)


@pytest.mark.parametrize("names", ["text", "audio", "vision", "audio vision", "text audio", "vision text"])
def test_any_modalities_will_do(names: str) -> None:
    dims = {name: DIMS[name] for name in names.split()}
    model = Hma(dims)
    gates = set(dims) if len(dims) > 1 else set()
    assert set(model.gates) == gates
    assert set(model.bridges) == (gates - {"text"} if "text" in dims else set())
    given = batch(DIMS)
    out = model(Batch({n: given.values[n] for n in dims}, {n: given.mask[n] for n in dims}, labels=given.labels))
    out.score.sum().backward()
    assert out.score.shape == (4,)
    assert set(out.losses) == {f"shift_{name}" for name in gates}


def test_routes_of_the_text_that_met_another() -> None:
    assert Hma(DIMS).meets == {"audio": "audio", "vision": "vision"}
    assert Hma(DIMS, mba_route="crossed").meets == {"audio": "vision", "vision": "audio"}
    assert Hma({"text": 6, "audio": 5}, mba_route="crossed").meets == {"audio": "audio"}
    assert set(Hma(DIMS, mba_route="crossed", msg=("audio",)).bridges) == {"vision"}


@pytest.mark.parametrize("config", [BERT, XLNET])
def test_over_a_language_model(config: str) -> None:
    torch.manual_seed(0)
    model = Hma(TOKEN_DIMS, language_config=config, insert_layer=1)
    given = batch(TOKEN_DIMS)
    model.loss(model(given), given, "all").backward()  # type: ignore[no-untyped-call]
    assert not [name for name, part in model.named_parameters() if part.grad is None]
    check_alone(model, TOKEN_DIMS)
    again = Hma(TOKEN_DIMS, language_model="./gone", insert_layer=1, **model.kept_params())
    again.load_state_dict(model.state_dict(), strict=True)
    with torch.inference_mode():
        assert torch.equal(again.eval()(given).score, model(given).score)


def test_without_gates_the_text_branch_is_the_language_model() -> None:
    torch.manual_seed(0)
    model = Hma({"text": 3}, language_config=BERT, insert_layer=1).eval()
    given = batch(TOKEN_DIMS)
    text = Batch({"text": given.values["text"]}, {"text": given.mask["text"]})
    ids, mask = given.values["text"][..., 0].long(), given.mask["text"]
    with torch.inference_mode():
        assert model.text is not None
        states = model.text.net(input_ids=ids * mask, attention_mask=mask.long()).last_hidden_state
        expected = model.score(model.fuse(states[:, 0]))[:, 0]
        assert torch.allclose(model(text).score, expected, atol=1e-5)


def test_phases_are_the_paper_s() -> None:
    (phase,) = Hma(TOKEN_DIMS, language_config=BERT, insert_layer=1).phases()
    assert (phase.optimizer, phase.schedule, phase.epochs, phase.batch) == ("adamw", "linear", 40, 48)
    assert (phase.monitor, phase.patience) == ("loss", None)
    assert {group.lr for group in phase.groups} == {2e-5}
    assert {g.lr for g in Hma(TOKEN_DIMS, language_config=BERT, insert_layer=1, lr_other=1e-3).phases()[0].groups} == {
        2e-5,
        1e-3,
    }


def test_the_loss_is_squared_and_has_the_shifts() -> None:
    model = Hma(DIMS, huber_weights=(0.0, 0.5, 2.0)).eval()
    given = batch()
    given.labels["M"][1] = float("nan")
    with torch.inference_mode():
        output = model(given)
        known = [0, 2, 3]
        error = ((output.score - given.labels["M"])[known] ** 2).mean()
        found = model.loss(output, given, "all")
    assert float(output.losses["shift_text"]) == 0.0
    assert float(found) == pytest.approx(float(error + output.losses["shift_audio"] + output.losses["shift_vision"]))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"insert_layer": 4}, "insert_layer: found 4, expected 0 to 3"),
        ({"insert_layer": -1}, "insert_layer"),
        ({"msg_strength": 0.0}, "msg_strength"),
        ({"huber_delta": 0.0}, "huber_delta"),
        ({"dropout": 1.0}, "dropout"),
        ({"mba_width": 0}, "mba_width"),
        ({"text_heads": 5}, "heads"),
        ({"language_model": "bert-base"}, "no checkpoint is called 'bert-base'"),
    ],
)
def test_bad_parameters_are_refused(params: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Hma(DIMS, **params)


def test_a_language_model_without_tokens_is_refused() -> None:
    with pytest.raises(ConfigError, match="text features of 6 columns"):
        Hma(DIMS, language_config=BERT, insert_layer=1)(batch())


@pytest.mark.slow
def test_contract() -> None:
    check_fusion(Hma)


def ambiguous(count: int, seed: int, late: int = 0) -> Batch:
    """Ten tokens, one of them a word whose sense the voice (token 7) or the face (token 8) at that word gives.

    At the other words voice and face have signs that say nothing.   late: voice and face come that many words late.
    """
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(10, 50, (count, 10), generator=random)
    ids[:, 0], ids[:, 9] = 1, 2
    at = torch.randint(1, 9, (count,), generator=random)
    which = torch.randint(0, 2, (count,), generator=random)
    row = torch.arange(count)
    ids[row, at] = 7 + which
    signs = torch.randint(0, 2, (count, 2, 8), generator=random) * 2.0 - 1
    label = signs[row, which, at - 1]
    seen = signs.unsqueeze(3) * torch.tensor([1.0, -1.0, 0.5]) + 0.3 * torch.randn(count, 2, 8, 3, generator=random)
    seen = torch.nn.functional.pad(seen.roll(late, 2), (0, 0, 1, 1))
    # Of each token the id, the segment and the word, -1 for [CLS] and [SEP].
    word = torch.tensor([-1.0, *range(8), -1.0]).expand(count, 10)
    text = torch.stack([ids.float(), torch.zeros(count, 10), word], dim=2)
    values = {"text": text, "audio": seen[:, 0], "vision": seen[:, 1]}
    return Batch(values, dict.fromkeys(values, full(count, 10)), labels={"M": label})


def learned(dims: dict[str, int], steps: int, **params: Any) -> tuple[Hma, dict[str, Tensor]]:
    """A model after ``steps`` steps, and how the mean length of each shift varied over the last tenth of them."""
    torch.manual_seed(0)
    model = Hma(dims, language_config=BERT, insert_layer=1, dropout=0.0, **params).train()
    train = ambiguous(2000, seed=1)
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps, pct_start=0.1)
    sizes: dict[str, list[Tensor]] = {}
    for step in range(steps):
        some = torch.randint(0, 2000, (64,))
        part = Batch(
            {name: values[some] for name, values in train.values.items()},
            {name: mask[some] for name, mask in train.mask.items()},
            labels={"M": train.labels["M"][some]},
        )
        output = model(part)
        optimiser.zero_grad()
        model.loss(output, part, "all").backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        for name, size in output.diagnostics.items() if step >= 0.9 * steps else ():
            sizes.setdefault(name, []).append(size.mean())
    return model.eval(), {name: torch.stack(found).var() for name, found in sizes.items()}


def accuracy(model: Hma, late: int = 0) -> float:
    test = ambiguous(1000, seed=2, late=late)
    with torch.inference_mode():
        return float(((model(test).score > 0) == (test.labels["M"] > 0)).float().mean())


@pytest.mark.slow
def test_the_gate_reads_voice_and_face_at_the_word() -> None:
    text_only, _ = learned({"text": 3}, 150)
    assert accuracy(text_only) <= 0.55
    gated, free = learned(TOKEN_DIMS, 500, msg=("text",), mba=False, huber=False)
    assert accuracy(gated) >= 0.90
    assert accuracy(gated, late=1) <= 0.65
    whole, held = learned(TOKEN_DIMS, 500, msg=("text",), mba=False)
    assert accuracy(whole) >= 0.90
    assert float(held["shift_text"]) <= 0.7 * float(free["shift_text"])


def test_pieces_share_their_words_voice_and_special_tokens_have_none() -> None:
    word = torch.tensor([[-1.0, 0.0, 0.0, 1.0, -1.0, 0.0]])  # [CLS], a word of two pieces, a word, [SEP], padding
    text = torch.stack([word, word, word], dim=2)
    mask = torch.tensor([[True, True, True, True, True, False]])
    heard = torch.tensor([[[9.0], [1.0], [3.0], [5.0], [9.0], [9.0]]])
    sound = torch.tensor([[True, True, True, True, True, False]])
    found = by_words(Batch({"text": text, "audio": heard}, {"text": mask, "audio": sound}), ["audio"])
    assert found.values["audio"][0, :, 0].tolist() == [0, 2, 2, 5, 0, 0]
    assert found.mask["audio"][0].tolist() == [False, True, True, True, False, False]
    sound[0, 2] = False  # nothing heard at the second piece: it has what the first one has
    found = by_words(Batch({"text": text, "audio": heard}, {"text": mask, "audio": sound}), ["audio"])
    assert found.values["audio"][0, :, 0].tolist() == [0, 1, 1, 5, 0, 0]
    other = Batch({"text": text, "audio": heard[:, :4]}, {"text": mask, "audio": sound[:, :4]})
    assert by_words(other, ["audio"]).values["audio"] is other.values["audio"]  # on steps of its own
