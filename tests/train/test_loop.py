"""The loop: it learns, it is the same for the same seed, it goes on after a kill, and it says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from msapipe.errors import ConfigError, MsapipeError
from msapipe.fusion._base import Batch, Group, Output, Phase
from msapipe.fusion.late import Late
from msapipe.fusion.tfn import Tfn
from msapipe.testing import fakes
from msapipe.train.evaluate import predict
from msapipe.train.loop import Line, Loop
from msapipe.train.settings import Settings
from msapipe.train.table import TensorTable
from msapipe.types import Sample

DIMS = {"text": 6, "audio": 4}


def samples(count: int, seed: int = 0) -> list[Sample]:
    """Clips whose label is a sum over the mean of their text."""
    out = []
    for i in range(count):
        features = fakes.features(DIMS, steps=3 + i % 4, seed=1000 * seed + i)
        label = float(features["text"].values.mean(0)[:3].sum())
        out.append(Sample(f"clip{i}", features, {"M": label}))
    return out


@pytest.fixture
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def loop(
    fabric: Fabric, settings: Settings, folder: Path | None = None, model: Late | None = None, **more: object
) -> Loop:
    torch.manual_seed(settings.seed)
    train, valid = (TensorTable.of(samples(*part), DIMS) for part in ((60, 1), (30, 2)))
    return Loop(model or Late(DIMS), train, valid, settings, fabric, folder, **more)  # type: ignore[arg-type]


SETTINGS = Settings(epochs=40, lr=0.03, batch=16)


def test_it_learns_and_keeps_the_best_epoch(fabric: Fabric) -> None:
    trained = loop(fabric, SETTINGS)
    history = trained.run()
    errors = [float(line["valid_mae"]) for line in history]
    assert min(errors) < 0.5 * errors[0]
    said = predict(trained.model, trained.valid, fabric).score
    assert float((said - trained.valid.whole.labels["M"]).abs().mean()) == pytest.approx(min(errors), abs=1e-6)


def test_the_same_seed_gives_the_same_curve_and_another_does_not(fabric: Fabric) -> None:
    one, same = loop(fabric, SETTINGS).run(), loop(fabric, SETTINGS).run()
    assert one == same
    assert loop(fabric, Settings(seed=2, epochs=40, lr=0.03, batch=16)).run() != one


class _Killed(Exception):
    pass


@pytest.mark.parametrize("epoch", [1, 7])
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    fabric: Fabric, tmp_path: Path, epoch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msapipe.train.loop.SECONDS_BETWEEN_SAVES", 0.0)
    whole = loop(fabric, SETTINGS)
    expected = whole.run()

    def kill(line: Line) -> None:
        if line["epoch"] == epoch + 1:
            raise _Killed

    with pytest.raises(_Killed):
        loop(fabric, SETTINGS, tmp_path, tell=kill).run()
    assert torch.load(tmp_path / "state.pt", weights_only=True)["state"]["epoch"] == epoch
    torch.rand(5)  # whatever happens in between
    again = loop(fabric, SETTINGS, tmp_path)
    assert again.run() == expected
    for name, part in whole.model.state_dict().items():
        assert torch.equal(part, again.model.state_dict()[name]), name


class _Staged(Late):
    """Heads first, then how far they are trusted."""

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("heads", (Group(("heads.",), 0.03),), 3),
            Phase("trust", (Group(("log_trust",), 0.03),), 3),
        )


def test_what_a_phase_does_not_name_is_frozen(fabric: Fabric) -> None:
    model = _Staged(DIMS)
    kept: dict[str, list[Tensor]] = {}

    def tell(line: Line) -> None:
        kept.setdefault(str(line["phase"]), []).append(model.heads["text"].get_parameter("linear.weight").clone())

    history = loop(fabric, Settings(), model=model, tell=tell).run()
    assert [line["phase"] for line in history] == ["heads"] * 3 + ["trust"] * 3
    assert not torch.equal(kept["heads"][0], kept["heads"][1])
    assert torch.equal(kept["trust"][0], kept["trust"][2])


Schedule = Literal["constant", "cosine", "linear", "plateau"]


class _Scheduled(Late):
    """Learns too slowly to get any better, so that it is the schedule alone that counts."""

    phase = Phase()

    def phases(self) -> tuple[Phase, ...]:
        return (self.phase,)


def rates_of(fabric: Fabric, monkeypatch: pytest.MonkeyPatch, phase: Phase) -> list[float]:
    """The learning rate of each step, in shares of the phase's."""
    monkeypatch.setattr(_Scheduled, "phase", replace(phase, groups=(Group(lr=1e-9),), batch=16))
    found: list[float] = []
    step = torch.optim.Adam.step

    def seen(self: torch.optim.Adam, *arguments: object, **more: object) -> object:
        found.append(self.param_groups[0]["lr"] / 1e-9)
        return step(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim.Adam, "step", seen)
    loop(fabric, Settings(), model=_Scheduled(DIMS)).run()
    return found


@pytest.mark.parametrize(("schedule", "last"), [("constant", 1.0), ("linear", 1 / 13), ("plateau", 1.0)])
def test_a_schedule_warms_up_and_ends_where_it_says(
    fabric: Fabric, monkeypatch: pytest.MonkeyPatch, schedule: Schedule, last: float
) -> None:
    phase = Phase(epochs=4, schedule=schedule, warmup=0.1875, patience=None)  # 3 of 16 steps
    rates = rates_of(fabric, monkeypatch, phase)
    assert len(rates) == 16
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[-1] == pytest.approx(last)


def test_cosine_falls_along_half_a_wave(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msapipe.train.loop.LEAST_RATE", 0.0)
    rates = rates_of(fabric, monkeypatch, Phase(epochs=4, schedule="cosine", patience=None))
    assert rates == pytest.approx([0.5 * (1 + np.cos(np.pi * step / 16)) for step in range(16)])


def test_every_group_of_a_cosine_ends_at_the_same_rate(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(name for name, _ in _Scheduled(DIMS).named_parameters())
    groups = (Group(lr=1e-4), Group((first,), lr=5e-5))
    monkeypatch.setattr(_Scheduled, "phase", Phase(groups=groups, epochs=50, schedule="cosine", patience=None))
    found: list[set[float]] = []
    step = torch.optim.Adam.step

    def seen(self: torch.optim.Adam, *arguments: object, **more: object) -> object:
        found.append({group["lr"] for group in self.param_groups})
        return step(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim.Adam, "step", seen)
    loop(fabric, Settings(), model=_Scheduled(DIMS)).run()
    assert found[0] == {1e-4, 5e-5}
    assert all(rate == pytest.approx(1e-6, rel=0.2) for rate in found[-1])
    assert len(found[-1]) == 2


def test_plateau_takes_a_tenth_when_nothing_gets_better(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = rates_of(fabric, monkeypatch, Phase(epochs=20, schedule="plateau", patience=4))
    # The first epoch is the best; two without a better one, and it slows down; after four it ends.
    assert rates == pytest.approx([1.0] * 12 + [0.1] * 8)


class _Explodes(Late):
    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        return super().loss(output, batch, phase) * float("nan")


def test_a_loss_that_is_not_finite_stops_with_the_batch_named(fabric: Fabric) -> None:
    with pytest.raises(MsapipeError, match=r"loss is nan in phase all, epoch 1, .* clip\d+"):
        loop(fabric, SETTINGS, model=_Explodes(DIMS)).run()


def test_statistics_are_the_training_splits_and_do_not_count_padding() -> None:
    table = TensorTable.of(samples(10), DIMS)
    rows = np.concatenate([sample.features["audio"].values for sample in samples(10)])
    mean, std = table.statistics("audio")
    assert np.allclose(mean, rows.mean(0), atol=1e-5)
    assert np.allclose(std, rows.std(0), atol=1e-5)


def test_a_split_is_standardised_once_and_its_statistics_stay_those_of_the_features() -> None:
    table, model = TensorTable.of(samples(10), DIMS), Tfn(DIMS)
    before = table.statistics("audio")
    for name in DIMS:
        mean, std = table.statistics(name)
        model.get_buffer(f"center_{name}").copy_(mean)
        model.get_buffer(f"std_{name}").copy_(std)
    expected = model.standardized(table.whole)
    table.standardize(model)
    table.standardize(model)
    assert all(torch.equal(table.whole.values[name], expected.values[name]) for name in DIMS)
    assert model.standardized(table.whole) is table.whole
    assert table.statistics("audio") == before


def test_a_standardised_split_does_not_serve_a_model_that_reads_the_features_as_they_are(fabric: Fabric) -> None:
    train, valid = TensorTable.of(samples(10), DIMS), TensorTable.of(samples(5), DIMS)
    Loop(Tfn(DIMS), train, valid, Settings(epochs=1), fabric).run()
    with pytest.raises(ValueError, match="standardised for another model"):
        Loop(Late(DIMS), train, valid, SETTINGS, fabric).run()


def test_rows_are_padded_to_the_longest_of_them_only() -> None:
    table = TensorTable.of(samples(10), DIMS)
    short = table.rows(torch.tensor([0]))
    assert short.values["text"].shape[1] == 3 < table.whole.values["text"].shape[1]


def test_an_empty_split_and_impossible_settings_are_said(fabric: Fabric) -> None:
    none, some = TensorTable.of([], DIMS), TensorTable.of(samples(3), DIMS)
    with pytest.raises(MsapipeError, match="a split is empty"):
        Loop(Late(DIMS), none, some, SETTINGS, fabric).run()
    with pytest.raises(ConfigError, match="lr: found -1"):
        Settings(lr=-1)
