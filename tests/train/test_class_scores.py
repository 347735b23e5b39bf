"""Heads of classes are measured by their largest logit, on edges that are those of the labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from sklearn.metrics import accuracy_score, f1_score

from msapipe.errors import MsapipeError
from msapipe.fusion._base import Output
from msapipe.fusion.boosting import Boosting
from msapipe.fusion.dec import Dec
from msapipe.fusion.smp import Smp
from msapipe.testing import fakes
from msapipe.train.data import DataSet
from msapipe.train.evaluate import scores_of
from msapipe.train.export import export
from msapipe.train.loop import Loop
from msapipe.train.metrics import class_scores
from msapipe.train.settings import Settings
from msapipe.train.study import Study, Trained, make_fabric
from msapipe.train.table import TensorTable
from msapipe.types import Sample

DIMS = {"text": 4, "audio": 3}


def samples(count: int = 36, scale: float = 1.0) -> list[Sample]:
    made = []
    for i in range(count):
        split = ["train", "train", "valid", "test"][i % 4]
        made.append(Sample(f"{i}", fakes.features(DIMS, seed=i), {"M": (i % 7 - 3) / 3 * scale}, split))
    return made


def data(scale: tuple[float, float]) -> DataSet:
    return DataSet("made", tuple(samples(scale=scale[1])), {"features": {"file": {}}, "align": None}, scale)


def test_classes_are_those_of_the_largest_logit() -> None:
    """Sure of neutral, but for a difference of both others: p(+) - p(-) says something else."""
    logits = np.array([[0.0, 1.0, 0.9], [2.0, 1.0, 0.0], [0.0, 0.1, 0.2], [0.0, 5.0, 4.9]])
    labels = np.array([0.1, -1.0, 0.3, 0.11], np.float32)
    found = class_scores(labels, logits, (-0.1, 0.1))
    true, said = [1, 0, 2, 2], [1, 0, 2, 1]
    assert found == {
        "class_acc": accuracy_score(true, said),
        "class_f1_macro": pytest.approx(f1_score(true, said, average="macro")),
        "class_f1_weighted": pytest.approx(f1_score(true, said, average="weighted")),
    }
    assert found["class_f1_macro"] != found["class_f1_weighted"]


def test_two_classes_leave_zero_out_and_nothing_is_none() -> None:
    logits = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, -1.0]])
    assert class_scores([1.0, 0.0, -1.0], logits, (0.0,))["class_acc"] == 1.0
    assert set(class_scores([0.0, 0.0, 0.0], logits, (0.0,)).values()) == {None}
    assert class_scores([1.0, 0.0, -1.0], np.eye(3)[[2, 1, 0]], (0.0, 0.0))["class_acc"] == 1.0


@pytest.mark.parametrize(("scale", "band"), [((-1.0, 1.0), 0.1), ((-3.0, 3.0), 0.5)])
def test_the_neutral_band_is_that_of_the_label_scale(tmp_path: Path, scale: tuple[float, float], band: float) -> None:
    study = Study(data(scale), "smp", {"task": "classification"}, Settings(epochs=1), tmp_path)
    model = study.build(1)
    assert isinstance(model, Smp)
    assert model.class_edges == (-band, band)
    own = Study(data(scale), "smp", {"task": "classification", "neutral": 0.2}, Settings(epochs=1), tmp_path)
    assert own.build(1).class_edges == (-0.2, 0.2)
    assert Study(data(scale), "dec", {}, Settings(epochs=1), tmp_path).build(1).limit == scale[1]


def test_accuracy_of_three_classes_is_that_of_the_head_where_it_is_all_there_is() -> None:
    label = torch.tensor([0.0, 0.0, 1.0, float("nan")])
    logits = torch.tensor([[0.0, 1.0, 0.9], [0.0, 1.0, 0.9], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    share = logits.softmax(1)
    said = Output(share[:, 2] - share[:, 0], classes=logits)
    model = Smp(DIMS, task="classification", neutral=0.1)
    found = scores_of(model, said, {"M": label}, (-1.0, 1.0))
    assert found["acc3"] == found["class_acc"] == 1.0
    both = Smp(DIMS, task="both", neutral=0.1)
    assert scores_of(both, said, {"M": label}, (-1.0, 1.0))["acc3"] == pytest.approx(1 / 3)
    regression = Smp(DIMS)
    assert "class_acc" not in scores_of(regression, replace(said, classes=None), {"M": label}, (-1.0, 1.0))


def test_the_best_seed_of_classes_has_the_most_right(tmp_path: Path) -> None:
    study = Study(data((-1.0, 1.0)), "smp", {"task": "classification"}, Settings(epochs=1), tmp_path / "runs")
    run = study.run(1, make_fabric())
    assert run.by_classes
    assert {"class_acc", "class_f1_macro", "class_f1_weighted"} <= set(run.scores["valid"])

    def seed(number: int, acc: float, macro: float, mae: float) -> Trained:
        scores = {**run.scores["valid"], "class_acc": acc, "class_f1_macro": macro, "mae": mae}
        return replace(run, seed=number, scores={**run.scores, "valid": scores})

    runs = [seed(1, 0.5, 0.5, 0.1), seed(2, 0.9, 0.4, 0.9), seed(3, 0.9, 0.6, 0.8)]
    assert export(study, runs, tmp_path / "model", "command").seed == 3
    assert "has the most right classes" in (tmp_path / "model" / "README.md").read_text()
    assert export(study, [replace(run, by_classes=False) for run in runs], tmp_path / "model", "command").seed == 1


def test_the_classifier_of_dec_is_counted_apart_in_the_card(tmp_path: Path) -> None:
    params = {"d": 8, "heads": 2, "hidden": 8, "layers": 1, "z_dim": 4}
    study = Study(data((-1.0, 1.0)), "dec", params, Settings(epochs=1), tmp_path / "runs")
    run = study.run(1, make_fabric())
    model = study.build(1)
    assert isinstance(model, Dec)
    assert run.parts == {"classifier": sum(part.numel() for part in model.classifier.parameters())}
    assert max(abs(value) for value in run.predictions["train"].values()) <= 1
    export(study, [run], tmp_path / "model", "command")
    readme = (tmp_path / "model" / "README.md").read_text()
    assert f"({run.parts['classifier']:,} in the classifier)" in readme
    assert "deviation over" not in readme


@pytest.mark.parametrize(("given", "lacking"), [((), "label_T, label_A"), (("T",), "label_A")])
def test_tasks_without_labels_are_refused(given: tuple[str, ...], lacking: str) -> None:
    table = TensorTable.of(
        [replace(item, labels={**item.labels, **dict.fromkeys(given, 0.5)}) for item in samples(12)], DIMS
    )
    fabric = Fabric(accelerator="cpu", devices=1)
    joint = Boosting(DIMS, regime="joint")
    with pytest.raises(MsapipeError, match=f"give a table with {lacking} by --labels.*regime=single"):
        Loop(joint, table, table, Settings(epochs=1), fabric).run()
    # A task that weighs nothing needs no label.
    Loop(Boosting(DIMS, regime="joint", alphas=(1, 0, 0, 0)), table, table, Settings(epochs=1), fabric).run()
