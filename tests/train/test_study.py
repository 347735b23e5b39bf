"""From features and labels to a model folder that predict uses, as a user goes about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from msapipe.api import Pipeline
from msapipe.errors import ConfigError, FeatureMismatch, MsapipeError
from msapipe.formats import FORMATS
from msapipe.pipeline.card import read_card, signature
from msapipe.pipeline.run import Options
from msapipe.pipeline.spec import load_spec, parse_spec
from msapipe.testing import fakes
from msapipe.train.data import load_data
from msapipe.train.labels import read_labels, with_labels
from msapipe.train.split import folds, shared_videos, with_splits
from msapipe.types import Sample
from tests.program import run_program

DIMS = {"text": 3, "audio": 12, "vision": 41}  # those of pocket


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty clips of eight videos with pocket's columns, and label.csv beside them."""
    folder = tmp_path_factory.mktemp("data")
    spec = load_spec("pocket")
    samples = [Sample(f"Raw/vid{i // 5}/{i:04d}.mp4", fakes.features(DIMS, seed=i)) for i in range(40)]
    made_by = {"features": signature(spec), "align": spec.align}
    FORMATS.get("safetensors")().write(folder / "features.safetensors", samples, made_by)
    lines = ["video_id,clip_id,text,label,mode"]
    for i, sample in enumerate(samples):
        mode = "test" if i >= 30 else "valid" if i >= 25 else "train"
        label = float(np.clip(sample.features["text"].values.mean() * 10, -3, 3))
        lines.append(f"vid{i // 5},{i:04d},words,{label:.3f},{mode}")
    (folder / "label.csv").write_text("\n".join(lines) + "\n")
    return folder / "features.safetensors"


@pytest.fixture(scope="module")
def model(features: Path) -> Path:
    folder = features.parent / "model"
    assert run_program("train", features, "-o", folder, "--set", "epochs=3", "--seeds", "1,2", "--device", "cpu") == 0
    return folder


def test_the_folder_holds_card_numbers_and_scores(model: Path) -> None:
    card = read_card(model)
    assert (card.use, card.dims, card.calibrated) == ("late", DIMS, True)
    assert card.trained.seeds == (1, 2)
    assert set(card.scores) == {"train", "valid", "test"}
    assert set(card.scores["test"]["mae"]) == {"mean", "deviation"}
    assert "--seeds 1,2" in card.trained.command
    assert "| test | mae |" in (model / "README.md").read_text()


def test_trained_again_nothing_is_computed(model: Path, features: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (model / ".training").rglob("result.json")}
    assert len(before) == 2
    assert run_program("train", features, "-o", model, "--set", "epochs=3", "--seeds", "1,2", "--device", "cpu") == 0
    assert {path: path.stat().st_mtime_ns for path in (model / ".training").rglob("result.json")} == before


def test_the_model_scores_a_clip_at_once(model: Path, samples: Path, sample_cache: Path) -> None:
    with Pipeline(load_spec("pocket"), sample_cache, str(model), Options("cpu")) as pipeline:
        found = pipeline.predict(samples / "positive.mp4")
    assert -3 <= found.score <= 3
    assert found.model == str(model)
    assert not any("uncalibrated" in note for note in found.notes)


def test_a_pipeline_changed_in_one_field_is_refused_by_name(model: Path, tmp_path: Path) -> None:
    text = load_spec("pocket").text.replace("min_score: 0.9", "min_score: 0.7")
    with pytest.raises(FeatureMismatch, match=r"faces\.mtcnn\.min_score: trained on 0\.9, pipeline has 0\.7"):
        Pipeline(parse_spec(text, "changed"), tmp_path, str(model))


def test_evaluate_prints_the_metrics(model: Path, features: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program("evaluate", features, "--model", model, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clips"] == 10
    assert set(found) >= {"acc2_has0", "acc2_non0", "f1_has0", "acc7", "mae", "corr"}
    card = read_card(model)
    assert found["mae"] == pytest.approx(
        card.scores["test"]["mae"]["mean"], abs=3 * card.scores["test"]["mae"]["deviation"] + 1e-3
    )


def test_compare_prints_a_row_a_model_and_the_floor(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = tmp_path / "published.csv"
    published.write_text("model,metric,value\nLate,mae,0.5\n")
    out = tmp_path / "out"
    arguments = ("--models", "late", "--seeds", "1,2", "--set", "epochs=2", "-o", out, "--device", "cpu")
    assert run_program("compare", features, *arguments, "--published", published) == 0
    printed = capsys.readouterr().out
    assert "mean of the training split" in printed
    assert "| late |" in printed
    assert "published mae" in (out / "comparison.csv").read_text()


def test_in_cross_validation_every_clip_is_tested_once(features: Path, tmp_path: Path) -> None:
    import csv

    arguments = ("--models", "late", "--seeds", "1", "--set", "epochs=2", "--folds", "4", "-o", tmp_path)
    assert run_program("compare", features, *arguments, "--device", "cpu") == 0
    said: list[str] = []
    for path in (tmp_path / "runs").rglob("result.json"):
        said += json.loads(path.read_text())["predictions"]["test"]
    assert len(said) == len(set(said)) == 40
    with (tmp_path / "comparison.csv").open() as file:
        floor, row = csv.DictReader(file)
    assert (floor["model"], row["split"]) == ("mean of the training split", "test")


def test_curves_for_tensorboard(features: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    arguments = ("--set", "epochs=2", "--seeds", "1", "--device", "cpu", "--tensorboard", tmp_path / "curves")
    assert run_program("train", features, "-o", tmp_path / "m", *arguments) == 0
    assert len(list((tmp_path / "curves" / "1").glob("events*"))) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "lat"), "did you mean 'late'"),
        (("--set", "limt=2"), "did you mean 'limit'"),
        (("--set", "limit=much"), "--set limit:"),
        (("--set", "epochs=0"), "epochs: found 0"),
        (("--seeds", "a,b"), "--seeds a,b"),
        (("--modalities", "smell"), "no modality is called 'smell'"),
        (("--scale", "3"), "--scale 3"),
        (("--scale", "-0.1,0.1"), "lies outside"),
        (("--labels", "gone.csv"), "gone.csv"),
    ],
)
def test_a_wrong_word_is_one_sentence(
    features: Path, tmp_path: Path, arguments: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program("train", features, "-o", tmp_path / "m", *arguments) in (1, 2)
    printed = capsys.readouterr().err
    assert said in " ".join(printed.split())
    assert "Traceback" not in printed


def sample(clip: str, video: str = "", split: str | None = None, label: float | None = 0.0) -> Sample:
    return Sample(clip, fakes.features({"text": 2}), {} if label is None else {"M": label}, split, video)


def test_labels_find_their_clips_and_what_has_no_partner_is_named(tmp_path: Path) -> None:
    path = tmp_path / "label.csv"
    path.write_bytes("\ufeffvideo_id;clip_id;label;label_T;mode\r\na;001;1.5;;train\r\ngone;7;0;0;test\r\n".encode())
    found, notes = with_labels(
        [sample("Raw/a/001.mp4", label=None), sample("other.mp4", label=None)], read_labels(path), path
    )
    assert (found[0].labels, found[0].split, found[0].video) == ({"M": 1.5}, "train", "a")
    assert found[1].labels == {}
    assert notes == [
        "1 labels without features, left out: gone/7",
        "1 clips without a label, used only where a model learns without: other.mp4",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clip_id,label\na,x\n", "line 2: label is 'x'"),
        ("clip_id,label\na,1\na,2\n", "line 3: clip a stands on line 2"),
        ("clip_id,label,mode\na,1,later\n", "line 2: mode is 'later'"),
        ("name,score\na,1\n", "found the columns name, score"),
        ("clip_id,label\n,1\n", "line 2: the column clip_id is empty"),
        ("", "found the columns none"),
    ],
)
def test_a_bad_table_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "label.csv").write_text(text)
    with pytest.raises(MsapipeError, match=said):
        read_labels(tmp_path / "label.csv")


def test_a_row_that_fits_two_clips_is_said(tmp_path: Path) -> None:
    (tmp_path / "label.csv").write_text("clip_id,label\n1,0.5\n")
    path = tmp_path / "label.csv"
    with pytest.raises(MsapipeError, match=r"line 2: 1 fits a/1\.mp4 and b/1\.mp4"):
        with_labels([sample("a/1.mp4"), sample("b/1.mp4")], read_labels(path), path)


def test_no_video_is_on_two_sides() -> None:
    clips = [sample(f"{i}", f"v{i // 4}") for i in range(80)]
    made = with_splits(clips)
    assert shared_videos(made) == ""
    assert [s.split for s in made] == [s.split for s in with_splits(clips)]
    assert {s.split for s in made} == {"train", "valid", "test"}
    given = [sample("1", "v", "train"), sample("2", "v", "test")]
    assert with_splits(given) == given
    assert "1 of 1 videos have clips on two sides of it (1 in train and test)" in shared_videos(given)
    with pytest.raises(MsapipeError, match="clip 2 has no split"):
        with_splits([sample("1", "v", "train"), sample("2", "w")])


def test_every_clip_is_tested_once_in_cross_validation() -> None:
    clips = [sample(f"{i}", f"v{i // 3}") for i in range(30)]
    tested = []
    for train, valid, test in folds(clips, 5):
        assert shared_videos([*train, *valid, *test]) == ""
        tested += [s.id for s in test]
    assert sorted(tested) == sorted(s.id for s in clips)
    with pytest.raises(MsapipeError, match="11 folds of 10 videos"):
        list(folds(clips, 11))


def test_labels_out_of_scale_are_named(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    FORMATS.get("safetensors")().write(path, [sample(f"{i}", label=9.0 if i == 2 else 1.0) for i in range(6)])
    with pytest.raises(MsapipeError, match=r"clip 2 has the label 9, which lies outside \[-3, 3\]"):
        load_data(path)
    (tmp_path / "f.npz").touch()
    with pytest.raises(ConfigError, match="no format is called"):
        load_data(tmp_path / "f.npz")
