"""A search: what it reads, that it learns from what it tried, and that a kill changes nothing."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from msapipe.errors import CacheError, ConfigError, MissingLibrary, MsapipeError
from msapipe.formats import FORMATS
from msapipe.fusion.tfn import Tfn
from msapipe.testing import fakes
from msapipe.train.data import DataSet, load_data
from msapipe.train.params import assign
from msapipe.train.study import Study, Trained, make_fabric
from msapipe.train.tuning import Choices, Range, Search, Trial, read_space, suggest
from msapipe.types import FeatureSequence, Sample
from tests.program import run_program

pytest.importorskip("optuna")

SPACE = ("lr=1e-4..1e-1 log", "batch=8,16", "units=4..16", "hidden=[4,4,4],[8,4,8]")


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty labelled clips: 24 train, 8 valid, 8 test."""
    path = tmp_path_factory.mktemp("data") / "features.safetensors"
    samples = []
    for i in range(40):
        split = "train" if i < 24 else "valid" if i < 32 else "test"
        parts = fakes.features({"text": 3, "audio": 2, "vision": 2}, seed=i)
        label = float(np.clip(parts["text"].values.mean() * 3, -3, 3))
        samples.append(Sample(f"{i:02d}", parts, {"M": label}, split, f"v{i}"))
    FORMATS.get("safetensors")().write(path, samples)
    return path


def search(data: DataSet, folder: Path, seed: int = 7, space: Sequence[str] = SPACE) -> Search:
    def make(data: DataSet, chosen: Sequence[str]) -> Study:
        params, settings = assign(Tfn, ["epochs=1", *chosen])
        return Study(data, "tfn", params, settings, folder / "runs")

    return Search(data, make, read_space(Tfn, space, ["epochs=1"]), folder, seed)


def train(study: Study) -> Trained:
    return study.run(7, make_fabric())


def timeless(trials: Sequence[Trial]) -> list[Trial]:
    return [replace(trial, seconds=0) for trial in trials]


def test_a_space_has_the_types_of_what_it_varies() -> None:
    assert read_space(Tfn, [*SPACE, "dropout=0..0.5", "patience=2..9"]) == {
        "lr": Range(1e-4, 1e-1, True),
        "batch": Choices(("8", "16")),
        "units": Range(4, 16),
        "hidden": Choices(("[4,4,4]", "[8,4,8]")),
        "dropout": Range(0.0, 0.5),
        "patience": Range(2, 9),
    }
    space = read_space(Tfn, ["dropout=0..1", "units=1..4"])
    assert [type(part.low) for part in space.values() if isinstance(part, Range)] == [float, int]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["lrr=1e-4..1e-2"], "lrr: Tfn has no such parameter; did you mean 'lr'"),
        (["seed=1,2"], "seed: Tfn has no such parameter"),
        (["units=0.5..2.5"], "units: Input should be a valid integer"),
        (["units=a..b"], "units: Input should be a valid integer"),
        (["lr=1e-2..1e-4"], "the lowest must be below the highest"),
        (["dropout=0..0.5 log"], "log needs numbers above 0"),
        (["lr=0..0.1"], "lr: found 0.0, expected more than 0"),
        (["standardize=0..1"], "standardize is no number"),
        (["batch=16"], "--set batch=..."),
        (["batch=16,16"], "expected LOW..HIGH or several values"),
        (["lr"], "expected LOW..HIGH or several values"),
        (["batch=8,16", "batch=16,32"], "batch is given twice"),
        (["epochs=1,2"], "epochs is given twice"),
        ([], "name at least one setting"),
    ],
)
def test_a_wrong_space_is_one_sentence(texts: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_space(Tfn, texts, ["epochs=1"])
    assert said in str(caught.value)
    assert str(caught.value).startswith("--space")
    assert "\n" not in str(caught.value)


def test_suggestions_lie_in_the_space_and_follow_from_trials_and_seed() -> None:
    space = read_space(Tfn, SPACE)
    trials: list[Trial] = []
    for number in range(14):  # past the first ten, which are random
        chosen = suggest(space, trials, 7)
        assert chosen == suggest(space, trials, 7)
        assert 1e-4 <= float(chosen["lr"]) <= 1e-1
        assert float(chosen["lr"]) == float(f"{float(chosen['lr']):.3g}")
        assert 4 <= int(chosen["units"]) <= 16
        assert chosen["batch"] in ("8", "16")
        trials.append(Trial(number, chosen, float(chosen["lr"]) if number % 3 else None, "failed"))
    assert len({trial.chosen["lr"] for trial in trials}) == 14
    assert suggest(space, trials, 8) != suggest(space, trials, 7)
    assert suggest(space, trials[:-1], 7) != suggest(space, trials, 7)


def test_the_best_of_a_bowl_is_found() -> None:
    space = {"dropout": Range(0.0, 1.0)}
    trials: list[Trial] = []
    for number in range(30):
        chosen = suggest(space, trials, 1)
        trials.append(Trial(number, chosen, abs(float(chosen["dropout"]) - 0.3)))
    first, last = ([trial.error or 0.0 for trial in part] for part in (trials[:10], trials[20:]))
    assert np.mean(last) < np.mean(first) / 2
    assert min(last) < 0.02


def test_killed_and_started_again_it_is_the_same_search(features: Path, tmp_path: Path) -> None:
    data = load_data(features)
    whole = search(data, tmp_path / "whole").run(4, train)
    trained: list[int] = []

    def killed(study: Study) -> Trained:
        trained.append(len(trained))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train(study)

    with pytest.raises(KeyboardInterrupt):
        search(data, tmp_path / "cut").run(4, killed)
    assert timeless(search(data, tmp_path / "cut").run(4, killed)) == timeless(whole)
    assert len(trained) == 5, "two, the killed one, and the two that were left"
    assert timeless(search(data, tmp_path / "cut").run(2, killed)) == timeless(whole[:2])
    assert len(trained) == 5, "what is kept is not trained again"
    assert search(data, tmp_path / "cut", seed=8).file != search(data, tmp_path / "cut").file
    assert search(data, tmp_path / "cut", space=SPACE[:2]).file != search(data, tmp_path / "cut").file


def test_the_test_split_is_not_looked_at(features: Path, tmp_path: Path) -> None:
    data = load_data(features)
    wild = tuple(
        replace(
            sample,
            labels={"M": 3.0},
            features={name: _wild(part) for name, part in sample.features.items()},
        )
        if sample.split == "test"
        else sample
        for sample in data.samples
    )
    one, other = search(data, tmp_path / "a"), search(replace(data, samples=wild), tmp_path / "b")
    assert one.file.name == other.file.name
    assert timeless(one.run(1, train)) == timeless(other.run(1, train))
    (result,) = (tmp_path / "a").rglob("result.json")
    assert set(json.loads(result.read_text())["scores"]) == {"train", "valid"}


def _wild(part: FeatureSequence) -> FeatureSequence:
    return replace(part, values=part.values * 1000)


def test_a_trial_that_fails_is_the_worst_and_all_that_fail_are_an_error(features: Path, tmp_path: Path) -> None:
    def failing(study: Study) -> Trained:
        if study.settings.batch == 8:
            raise MsapipeError("the loss is nan")
        return train(study)

    trials = search(load_data(features), tmp_path / "some").run(4, failing)
    assert {trial.chosen["batch"]: trial.reason for trial in trials} == {"8": "the loss is nan", "16": ""}
    assert all((trial.error is None) == (trial.chosen["batch"] == "8") for trial in trials)
    assert min(trials, key=lambda trial: trial.rank).chosen["batch"] == "16"

    def never(study: Study) -> Trained:
        raise MsapipeError("the loss is nan")

    with pytest.raises(MsapipeError, match="all 2 trials failed, the first for: the loss is nan"):
        search(load_data(features), tmp_path / "none").run(2, never)

    def full(study: Study) -> Trained:
        raise CacheError("disk full")

    with pytest.raises(CacheError):
        search(load_data(features), tmp_path / "full").run(2, full)


def test_without_labels_to_judge_by_there_is_no_search(features: Path, tmp_path: Path) -> None:
    data = load_data(features)
    blind = tuple(replace(sample, labels={}) if sample.split == "valid" else sample for sample in data.samples)
    with pytest.raises(MsapipeError, match="no clip of the validation split has a label"):
        search(replace(data, samples=blind), tmp_path)


def test_the_printed_command_gives_the_printed_error(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--space", "lr=1e-3..1e-1 log", "--space", "units=4,8", "--set", "epochs=1", "--trials", "2")
    common = ("--modalities", "text,audio", "--device", "cpu", "-o", tmp_path)
    assert run_program("tune", features, "--model", "tfn", *arguments, *common, "--seed", "5") == 0
    printed = capsys.readouterr().out
    assert "| trial | lr | units | valid mae | epochs | parameters | seconds |" in printed
    assert (tmp_path / "trials.md").read_text().strip() in printed
    command = shlex.split(printed.strip().splitlines()[-1])
    assert command[:3] == ["msapipe", "train", str(features)]
    assert command[command.index("--modalities") + 1] == "text,audio"
    assert run_program(*command[1:], "--seeds", "5", "--device", "cpu") == 0
    (result,) = (tmp_path / "model").rglob("result.json")
    error = json.loads(result.read_text())["scores"]["valid"]["mae"]
    assert f"valid error {error:.4f}" in printed
    assert not list((tmp_path / "runs").rglob("*.safetensors"))


def test_a_missing_library_is_said_with_what_to_type(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingLibrary, match=r'uv pip install "msapipe\[tune\]"'):
        search(load_data(features), tmp_path)
