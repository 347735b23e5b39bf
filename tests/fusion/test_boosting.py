from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, Output, absolute_error, collate, masked_mean, owners
from msapipe.fusion.boosting import Boosting
from msapipe.testing import fakes
from msapipe.testing.contract import check_fusion
from msapipe.train.loop import Line, Loop
from msapipe.train.settings import Settings
from msapipe.train.table import TensorTable
from msapipe.types import Sample

DIMS = {"text": 6, "audio": 5, "vision": 4}
TOKEN_DIMS = {"text": 3, "audio": 5, "vision": 4}
SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
BERT = json.dumps({"model_type": "bert", "max_position_embeddings": 32, **SIZES})
KINDS = ["sf", "tfn", "mult"]
REGIMES = ["single", "joint", "two_step"]


def clip(seed: int, dims: dict[str, int] = DIMS) -> Any:
    features = fakes.features(dims, steps=3 + seed % 4, seed=seed)
    if dims["text"] == 3:
        ids = features["text"].values
        ids[:] = (20 * abs(ids)).clip(0, 49).round()
        ids[:, 1] = 0
    return features


def batch(dims: dict[str, int] = DIMS, count: int = 4) -> Batch:
    made = collate([clip(seed, dims) for seed in range(count)], dims)
    made.labels = {name: torch.linspace(-1, 1, count).roll(i) for i, name in enumerate("MTAV")}
    return made


@pytest.mark.parametrize("fusion", KINDS)
@pytest.mark.parametrize("names", ["text audio vision", "text vision", "audio"])
def test_any_modalities_and_each_clip_by_itself(fusion: Any, names: str) -> None:
    torch.manual_seed(0)
    dims = {name: DIMS[name] for name in names.split()}
    model = Boosting(dims, fusion=fusion, regime="joint", features="handcrafted").eval()
    given = batch()
    with torch.inference_mode():
        together = model(given)
        for i in range(4):
            ends = {name: int(mask[i].sum()) for name, mask in given.mask.items()}
            one = Batch(
                {name: values[i : i + 1, : ends[name]] for name, values in given.values.items()},
                {name: mask[i : i + 1, : ends[name]] for name, mask in given.mask.items()},
            )
            assert torch.allclose(model(one).score, together.score[i], atol=1e-5)
        for name in dims:
            assert model(given.without(name)).score.isfinite().all()
    assert set(together.unimodal) == set(dims)
    assert all(score.shape == (4,) for score in together.unimodal.values())


def test_widths_are_the_paper_s() -> None:
    dims = dict.fromkeys(DIMS, 768)
    assert [Boosting(dims, fusion=kind).fusion.width for kind in ("sf", "tfn")] == [2304, 9537]
    # Each of three vectors has one stretch of 40 columns from each of the other two.
    assert Boosting(dims, fusion="mult").fusion.width == 240
    assert Boosting({"text": 9, "audio": 9}, fusion="tfn").fusion.width == 33 * 17
    two = Boosting({"text": 9, "audio": 9}, fusion="mult").fusion
    assert (len(two.crossmodal.cross), len(two.crossmodal.memory)) == (2, 2)  # type: ignore[union-attr,arg-type]


def test_vectors_side_by_side_by_hand() -> None:
    model = Boosting({"text": 2, "audio": 1}, fusion="sf", regime="joint", hidden=1).eval()
    with torch.no_grad():
        for part in model.parameters():
            part.fill_(1.0)
        model.center_text.fill_(1.0)  # type: ignore[union-attr,operator]
        given = Batch(
            {"text": torch.tensor([[[2.0, 4.0], [4.0, 6.0]]]), "audio": torch.tensor([[[5.0], [99.0]]])},
            {"text": torch.tensor([[True, True]]), "audio": torch.tensor([[True, False]])},
        )
        said = model(given)
    assert said.features["fused"].tolist() == [[2.0, 4.0, 5.0]]
    assert said.score.tolist() == [13.0]
    assert {name: score.tolist() for name, score in said.unimodal.items()} == {"text": [8.0], "audio": [7.0]}


def test_the_product_by_hand() -> None:
    model = Boosting({"text": 1, "audio": 1}, fusion="tfn").eval()
    given = Batch(
        {"text": torch.tensor([[[2.0]]]), "audio": torch.tensor([[[3.0]]])},
        dict.fromkeys(("text", "audio"), torch.ones(1, 1, dtype=torch.bool)),
    )
    with torch.no_grad():
        for part in model.fusion.parameters():
            part.zero_()
        for layer in model.fusion.reduce.values():  # type: ignore[union-attr,operator]
            layer.weight[0, 0] = 1.0
        fused = model(given).features["fused"].view(33, 17)
    assert fused[:2, :2].tolist() == [[1.0, 3.0], [2.0, 6.0]]
    assert int(fused.count_nonzero()) == 4


def test_a_label_that_nobody_gave_costs_nothing() -> None:
    torch.manual_seed(0)
    model = Boosting(DIMS, regime="joint", fusion="sf")
    given = batch()
    given.labels["T"][:] = math.nan
    given.labels["A"][0] = math.nan
    output = model(given)
    loss = model.loss(output, given, "joint")
    loss.backward()  # type: ignore[no-untyped-call]
    audio = (output.unimodal["audio"] - given.labels["A"])[1:].abs().mean()
    common = (output.score - given.labels["M"]).abs().mean()
    vision = (output.unimodal["vision"] - given.labels["V"]).abs().mean()
    assert float(loss.detach()) == pytest.approx(float((audio + common + vision).detach()) / 4)
    assert all(not part.grad.any() for part in model.heads["text"].parameters() if part.grad is not None)
    assert all(part.grad.isfinite().all() for part in model.parameters() if part.grad is not None)


@pytest.mark.parametrize("normalise", [True, False])
def test_alphas_weigh_the_tasks_that_there_are(normalise: bool) -> None:
    dims = {"text": 6, "vision": 4}
    model = Boosting(dims, regime="joint", alphas=(1.0, 2.0, 50.0, 5.0), normalise_alpha=normalise)
    total = 8.0 if normalise else 1.0
    assert model.alphas == pytest.approx({"M": 1 / total, "T": 2 / total, "V": 5 / total})
    given = batch()
    output = model(given)
    parts = [
        absolute_error(said, given.labels[task])
        for said, task in ((output.score, "M"), (output.unimodal["text"], "T"), (output.unimodal["vision"], "V"))
    ]
    expected = (parts[0] + 2 * parts[1] + 5 * parts[2]) / total
    assert torch.allclose(model.loss(output, given, "joint"), expected)


@pytest.mark.parametrize("fusion", KINDS)
@pytest.mark.parametrize("regime", REGIMES)
def test_each_phase_trains_its_own_and_all_together_train_all(fusion: Any, regime: Any) -> None:
    torch.manual_seed(0)
    model = Boosting(TOKEN_DIMS, fusion=fusion, regime=regime, features="handcrafted", language_config=BERT)
    given = batch(TOKEN_DIMS)
    learned: set[str] = set()
    for phase in model.phases():
        mine = set(owners(model, phase))
        model.zero_grad()
        model.loss(model(given), given, phase.name).backward()  # type: ignore[no-untyped-call]
        reached = {name for name, part in model.named_parameters() if part.grad is not None and part.grad.any()}
        assert all(dict(model.named_parameters())[name].grad is not None for name in mine)
        if phase.name in DIMS:
            assert {name.split(".")[1] for name in reached} == {phase.name}
        learned |= mine
    assert learned == set(dict(model.named_parameters()))


def test_phases_of_two_steps() -> None:
    model = Boosting(TOKEN_DIMS, regime="two_step", language_config=BERT, features="handcrafted", freeze=("vision",))
    text, audio, vision, fusion = model.phases()
    assert [(p.name, p.labels, p.monitor) for p in (text, audio, vision)] == [
        ("text", ("T",), "mae_T"),
        ("audio", ("A",), "mae_A"),
        ("vision", ("V",), "mae_V"),
    ]
    assert {prefix: group.lr for group in text.groups for prefix in group.prefixes} == {
        "heads.text.": 1e-4,
        "extractors.text.": 1e-5,
    }
    assert [group.prefixes for group in vision.groups] == [("heads.vision.",)]
    assert (fusion.labels, fusion.monitor, fusion.batch) == (("M",), "mae", 64)
    assert not [name for name in owners(model, fusion) if not name.startswith(("fusion.", "heads.M."))]


class _Watched(Boosting):
    """Remembers what it was before the last phase, and in which mode extractors were in it."""

    before: dict[str, Tensor]
    training: bool

    def begin(self, phase: str, batches: Any) -> None:
        super().begin(phase, batches)
        if phase == "fusion":
            self.before = {name: part.clone() for name, part in self.state_dict().items()}
            self.modes: list[bool] = []

    def after_step(self, output: Output, batch: Batch, phase: str, epoch: int) -> None:
        if phase == "fusion":
            self.modes += [module.training for module in self.extractors.modules()]
            assert self.fusion.training


def labelled(count: int, seed: int) -> list[Sample]:
    random = torch.Generator().manual_seed(seed)
    out = []
    for i in range(count):
        labels = dict(zip("MTAV", (torch.rand(4, generator=random) * 2 - 1).tolist(), strict=True))
        if i % 3 == 0:
            del labels["A"]
        out.append(Sample(f"clip{i}", clip(100 * seed + i, TOKEN_DIMS), labels))
    return out


@pytest.mark.parametrize("fusion", ["tfn", "mult"])
def test_extractors_stay_as_the_first_step_left_them(fusion: Any) -> None:
    torch.manual_seed(0)
    model = _Watched(TOKEN_DIMS, fusion=fusion, regime="two_step", features="handcrafted", language_config=BERT)
    first = {name: part.clone() for name, part in model.state_dict().items()}
    train, valid = (TensorTable.of(labelled(*part), TOKEN_DIMS) for part in ((24, 1), (12, 2)))
    history: list[Line] = Loop(
        model, train, valid, Settings(epochs=2, lr=1e-3), Fabric(accelerator="cpu", devices=1)
    ).run()
    assert [line["phase"] for line in history] == [n for n in ("text", "audio", "vision", "fusion") for _ in range(2)]
    assert all(f"valid_mae_{letter}" in line for line in history for letter in "TAV" if line["phase"] == "fusion")
    after = model.state_dict()
    kept = {name for name in after if name.startswith(("extractors.", "heads.")) and not name.startswith("heads.M.")}
    assert all(torch.equal(after[name], model.before[name]) for name in kept)
    for part in ("extractors.text.", "extractors.audio.", "extractors.vision."):
        assert any(not torch.equal(model.before[name], first[name]) for name in kept if name.startswith(part))
    moved = {name for name in after if not torch.equal(after[name], model.before[name])}
    assert {name.split(".")[0] for name in moved} == {"fusion", "heads"}
    assert model.modes
    assert not any(model.modes)


def test_a_language_model_gives_cls_and_is_built_again_without_its_checkpoint() -> None:
    torch.manual_seed(0)
    model = Boosting(TOKEN_DIMS, regime="joint", language_config=BERT, fusion="sf").eval()
    given = batch(TOKEN_DIMS)
    with torch.inference_mode():
        words = model.networks["text"]
        ids, mask = given.values["text"][..., 0].long(), given.mask["text"]
        states = words.net(input_ids=ids * mask, attention_mask=mask.long()).last_hidden_state
        fused = model(given).features["fused"]
        assert torch.allclose(fused[:, :16], states[:, 0], atol=1e-5)
        assert torch.allclose(fused[:, 16:21], masked_mean(given.values["audio"], given.mask["audio"]), atol=1e-6)
        assert not model(given.without("text")).features["fused"][:, :16].any()
        again = Boosting(TOKEN_DIMS, regime="joint", fusion="sf", language_model="./gone", **model.kept_params())
        again.load_state_dict(model.state_dict(), strict=True)
        assert torch.equal(again.eval()(given).score, model(given).score)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"alphas": (1.0, -1.0, 1.0, 1.0), "regime": "joint"}, "alphas"),
        ({"alphas": (0.0, 1.0, 1.0, 1.0)}, "alphas"),
        ({"hidden": 0}, "hidden"),
        ({"units": 0}, "units"),
        ({"dropout": 1.0}, "dropout"),
        ({"language_model": "bert"}, "no checkpoint is called 'bert'"),
    ],
)
def test_bad_parameters_are_refused(params: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Boosting(DIMS, **params)


def test_contract_of_the_multi_task_regimes() -> None:
    class Joint(Boosting):
        def __init__(self, dims: dict[str, int]) -> None:
            super().__init__(dims, fusion="sf", regime="joint")

    class TwoStep(Boosting):
        def __init__(self, dims: dict[str, int]) -> None:
            super().__init__(dims, fusion="sf", regime="two_step", features="handcrafted")

    check_fusion(Joint)
    check_fusion(TwoStep)
