"""msapipe evaluate on texts, photographs and sounds that nobody has extracted features of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from scipy.io import wavfile

from msapipe.cache import Store
from msapipe.fusion._base import Batch, FusionModel, Output, masked_mean
from msapipe.pipeline.card import signature
from msapipe.pipeline.run import Runner
from msapipe.pipeline.spec import PipelineSpec, load_spec
from msapipe.stages import Stage
from msapipe.train.heads import Reading, figures, only, reading
from msapipe.train.transcripts import TextStages, _rescaled
from msapipe.types import Clip, FeatureSequence, Frames, Transcript, Waveform
from tests.program import run_program


def one_row(values: Mapping[str, float], valid: bool = True) -> FeatureSequence:
    row = np.array([list(values.values())], np.float32)
    return FeatureSequence.masked(row, np.array([[0.0, 1.0]]), np.array([valid]), tuple(values))


@dataclass
class Goodness(Stage):
    """A row a word: 1 for good, -1 for bad."""

    def run(self, words: Transcript) -> FeatureSequence:
        marks = [{"good": 1.0, "bad": -1.0}.get(word.text, 0.0) for word in words.words]
        times = np.array([[word.start, word.end] for word in words.words], np.float64).reshape(-1, 2)
        return FeatureSequence(np.array(marks, np.float32)[:, None], times, np.ones(len(marks), bool), ("score",))


@dataclass
class Colours(Stage):
    """Red is anger, green happiness, blue neutral, grey disgust; in the dark nothing is seen."""

    def run(self, frames: Frames) -> FeatureSequence:
        (batch,) = frames.batches(8)
        red, green, blue = batch.pixels[0].mean(axis=(0, 1)) / 255
        means = {"anger": red, "happiness": green, "neutral": blue, "disgust": (red + green + blue) / 2}
        return one_row({**means, "valence": green - red}, valid=max(red, green, blue) > 0.1)


@dataclass
class Pitches(Stage):
    """A tone below 300 Hz is sad, a higher one angry; silence is nothing."""

    def run(self, waveform: Waveform) -> FeatureSequence:
        samples = waveform.samples
        if not len(samples) or not np.abs(samples).max() > 0:
            return one_row({"angry": 0, "sad": 0, "arousal": 0}, valid=False)
        hertz = np.count_nonzero(np.diff(np.signbit(samples))) / 2 / (len(samples) / waveform.rate)
        return one_row({"angry": float(hertz > 300), "sad": float(hertz <= 300), "arousal": hertz / 300 - 1})


class Sum(FusionModel):
    """Twice the mean of the text's first column, give or take one."""

    standardizes = False

    def __init__(self, dims: Mapping[str, int], sure: bool = True) -> None:
        super().__init__(dims)
        self.sure = sure
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, batch: Batch) -> Output:
        score = self.factor * masked_mean(batch.values["text"], batch.mask["text"])[:, 0]
        return Output(score, interval=torch.stack([score - 1, score + 1], dim=1) if self.sure else None)


FAKES = {
    "msapipe.text": {"goodness": "Goodness"},
    "msapipe.vision": {"colours": "Colours"},
    "msapipe.audio": {"pitches": "Pitches"},
    "msapipe.fusion": {"sum": "Sum"},
}
PIPELINE = """
schema: 1
stages:
  transcript: [sidecar]
  words: [given, pocketsphinx, spread]
  text: {use: goodness}
  audio: {use: pitches}
  vision: {use: colours}
model: ./model
"""


@pytest.fixture(autouse=True)
def _plug_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {
        group: [EntryPoint(name, f"{__name__}:{cls}", group) for name, cls in found.items()]
        for group, found in FAKES.items()
    }
    found = EntryPoints(entry for part in entries.values() for entry in part)
    monkeypatch.setattr("msapipe.registry._entry_points", lambda path: found)


@pytest.fixture
def spec(tmp_path: Path) -> PipelineSpec:
    (tmp_path / "fake.yaml").write_text(PIPELINE)
    return load_spec(str(tmp_path / "fake.yaml"))


@pytest.fixture
def model(spec: PipelineSpec, tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", spec)


def write_model(folder: Path, spec: PipelineSpec, **params: Any) -> Path:
    folder.mkdir()
    weights = folder / "model.safetensors"
    dims = {"text": 1, "audio": 3, "vision": 5}
    save_file(Sum(dims).state_dict(), weights)
    data = weights.read_bytes()
    card = {
        "schema_version": 1,
        "about": "a fake",
        "use": "sum",
        "version": 1,
        "params": params,
        "scale": [-3, 3],
        "labels": [{"name": "all"}],
        "align": None,
        "dims": dims,
        "features": signature(spec),
        "weights": {"file": weights.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)},
        "trained": {"dataset": None, "command": "none"},
        "calibrated": False,
        "licence": "Apache-2.0",
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(card))
    return folder


def write_labels(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "label.csv"
    path.write_text("\n".join(["video_id,clip_id,text,label,mode", *rows]) + "\n")
    return path


ROWS = (
    "v,1,good,2,train",
    "v,2,good good,-1,valid",
    "w,1,bad,-2,test",
    "w,2,good bad bad bad,1,test",
    "w,3,so,-0.8,test",
)


def answer(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> dict[str, Any]:
    """What the program says in JSON."""
    assert run_program("evaluate", *arguments, "--json") == code
    return dict(json.loads(capsys.readouterr().out))


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object, code: int) -> str:
    """What the program says when it refuses."""
    assert run_program("evaluate", *arguments) == code
    return capsys.readouterr().err


def test_texts_are_scored_without_clips(spec: PipelineSpec, model: Path, tmp_path: Path, capsys: Any) -> None:
    table = write_labels(tmp_path, *ROWS)
    found = answer(capsys, table, "--model", model, "--pipeline", spec.source)
    assert (found["split"], found["clips"], found["pipeline"]) == ("test", 3, "fake")
    assert found["mae"] == pytest.approx((0 + 2 + 0.8) / 3)  # said: -2, -1, 0
    assert found["acc2_non0"] == pytest.approx(2 / 3)
    assert found["acc7"] == pytest.approx(1 / 3)
    assert found["in_interval"] == pytest.approx(2 / 3)
    assert found["interval_width"] == pytest.approx((2 + 2 + 2) / 3)
    assert answer(capsys, table, "-m", model, "-p", spec.source, "--split", "valid")["mae"] == 3.0
    assert answer(capsys, table, "-m", model, "-p", spec.source, "--split", "all")["clips"] == 5
    assert answer(capsys, table, "-m", model, "-p", spec.source, "--split", "all", "--limit", 2)["mae"] == 0.0


def test_without_test_rows_all_are_measured_and_it_is_said(
    spec: PipelineSpec, model: Path, tmp_path: Path, capsys: Any
) -> None:
    table = write_labels(tmp_path, *ROWS[:2])
    assert run_program("evaluate", table, "-m", model, "-p", spec.source) == 0
    out, err = capsys.readouterr()
    assert "| split | all |" in out
    assert "| clips | 2 |" in out
    assert "also those of train" in err
    assert "no such rows; expected train, valid, all" in complaint(
        capsys, table, "-m", model, "-p", spec.source, "--split", "test", code=2
    )


def test_a_model_without_bounds_has_no_share_in_them(spec: PipelineSpec, tmp_path: Path, capsys: Any) -> None:
    unsure = write_model(tmp_path / "unsure", spec, sure=False)
    found = answer(capsys, write_labels(tmp_path, *ROWS), "-m", unsure, "-p", spec.source)
    assert found["in_interval"] is None
    assert found["interval_width"] is None


def test_what_is_wrong_with_a_row_is_said_with_its_line(
    spec: PipelineSpec, model: Path, tmp_path: Path, capsys: Any
) -> None:
    usual = ("-m", model, "-p", spec.source)
    table = write_labels(tmp_path, ROWS[0], "v,2,good,3.5,test")
    assert "line 3: the label 3.5 lies outside [-3, 3]" in complaint(capsys, table, *usual, code=1)
    table = write_labels(tmp_path, ROWS[0], "v,2,good,much,test")
    assert "line 3: label is 'much'" in complaint(capsys, table, *usual, code=1)
    table = write_labels(tmp_path, *ROWS, "w,7,,1,test", "w,8,good,,test")
    assert run_program("evaluate", table, *usual) == 0
    out, err = capsys.readouterr()
    assert "| clips | 3 |" in out
    assert "1 rows without a text, left out: line 7" in err
    assert "1 rows without a label, left out: line 8" in err
    table = write_labels(tmp_path, "w,7,,1,test")
    assert "no row has both" in complaint(capsys, table, *usual, code=1)


def test_options_of_features_do_not_belong_to_texts(
    spec: PipelineSpec, model: Path, tmp_path: Path, capsys: Any
) -> None:
    table = write_labels(tmp_path, *ROWS)
    assert "--scale belongs to features" in complaint(capsys, table, "-m", model, "--scale", "-1,1", code=2)
    assert "--labels belongs to features" in complaint(capsys, table, "-m", model, "--labels", table, code=2)
    assert "fits none of msapipe's pipelines" in complaint(capsys, table, "-m", model, code=2)


def test_a_text_has_the_features_that_its_clip_would_have(spec: PipelineSpec, tmp_path: Path) -> None:
    wavfile.write(tmp_path / "clip.wav", 16000, tone(200))
    with Runner(spec, Store(tmp_path / "cache")) as runner:
        clip = runner.run(Clip("clip", tmp_path / "clip.wav", text="a good  bad day")).features["text"]
    text = TextStages(spec).features("a good  bad day", tmp_path / "label.csv")["text"]
    assert np.array_equal(text.values, clip.values)
    assert text.values[:, 0].tolist() == [0, 1, -1, 0]
    assert (text.names, dict(text.channels)) == (clip.names, dict(clip.channels))


def tone(hertz: float) -> np.ndarray[Any, Any]:
    return np.asarray(np.sin(2 * np.pi * hertz * np.arange(8000) / 16000), np.float32)


def paint(folder: Path, colours: Mapping[str, tuple[int, int, int]]) -> None:
    """Pictures of one colour (RGB), without loss."""
    folder.mkdir(exist_ok=True)
    for name, rgb in colours.items():
        picture = np.full((32, 32, 3), rgb[::-1], np.uint8)
        assert cv2.imwrite(str(folder / name), picture, [cv2.IMWRITE_WEBP_QUALITY, 101])


RED, GREEN, BLUE, DARK = (200, 0, 0), (0, 200, 0), (0, 0, 200), (0, 0, 0)


def test_a_head_is_measured_on_pictures(spec: PipelineSpec, model: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "faces"
    paint(folder, {"a.webp": RED, "b.webp": GREEN, "c.webp": GREEN, "d.webp": DARK, "e.webp": BLUE, "f.webp": RED})
    emotions = {"a": "anger", "b": "anger", "c": "happiness", "d": "happiness", "e": "neutral", "f": "contempt"}
    rows = [f"{name}.webp,{emotion},valid" for name, emotion in emotions.items()]
    (folder / "labels.csv").write_text("\n".join(["image,emotion,split", *rows]) + "\n")
    usual = (folder, "-m", model, "-p", spec.source, "--cache", tmp_path / "cache", "--jobs", 1)
    found = answer(capsys, *usual)
    assert (found["modality"], found["split"], found["files"], found["unseen"]) == ("vision", "all", 6, 1)
    assert found["unknown"] == {"contempt": 1}
    assert found["classes"]["anger"] == {"files": 2, "recall": 0.5, "recall_seen": 0.5}
    assert found["classes"]["happiness"] == {"files": 2, "recall": 0.5, "recall_seen": 1.0}
    assert found["macro_recall"] == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert found["macro_recall_seen"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert found["valence"] == pytest.approx((0.5 + 0.5) / 2)  # anger .5, happiness .5; b is above zero, d unseen
    assert found["valence_seen"] == pytest.approx((1 + 0.5) / 2)
    assert "arousal" not in found
    assert run_program("evaluate", *usual) == 0
    out, err = capsys.readouterr()
    assert "| anger | 2 | 0.5000 | 0.5000 |" in out
    assert "| balanced accuracy of the sign of valence | 0.5000 |" in out
    assert "1 files in which nothing was seen (1: no valid step); they count as wrong" in err
    assert "contempt (1)" in err


def test_a_head_is_measured_on_sounds(spec: PipelineSpec, model: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "voices"
    folder.mkdir()
    for name, hertz in {"a": 400, "b": 400, "c": 200, "d": 0}.items():
        wavfile.write(folder / f"{name}.wav", 16000, tone(hertz))
    rows = "a.wav,angry,1\nb.wav,sad,1\nc.wav,sad,2\nd.wav,angry,2\n"
    (folder / "labels.csv").write_text("file,emotion,speaker\n" + rows)
    usual = ("-m", model, "-p", spec.source, "--cache", tmp_path / "cache", "--jobs", 1)
    found = answer(capsys, folder, *usual)
    assert (found["modality"], found["files"], found["unseen"]) == ("audio", 4, 1)
    assert (found["macro_recall"], found["macro_recall_seen"]) == (0.5, 0.75)
    assert (found["arousal"], found["arousal_seen"]) == (0.5, 0.75)
    assert "valence" not in found


def test_a_file_that_cannot_be_read_counts_as_wrong(
    spec: PipelineSpec, model: Path, tmp_path: Path, capsys: Any
) -> None:
    folder = tmp_path / "faces"
    paint(folder, {"a.webp": RED, "b.webp": GREEN})
    (folder / "c.webp").write_bytes(b"no picture")
    (folder / "labels.csv").write_text("image,emotion\na.webp,anger\nb.webp,happiness\nc.webp,anger\n")
    usual = ("-m", model, "-p", spec.source, "--cache", tmp_path / "cache", "--jobs", 1)
    found = answer(capsys, folder, *usual, code=3)
    assert (found["failed"], found["unseen"], found["macro_recall"]) == (1, 1, 0.75)
    assert list(found["reasons"]) == ["failed"]


def test_when_nothing_was_seen_the_reason_is_said(spec: PipelineSpec, model: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "faces"
    paint(folder, {"a.webp": DARK, "b.webp": DARK})
    (folder / "labels.csv").write_text("image,emotion\na.webp,anger\nb.webp,happiness\n")
    usual = ("-m", model, "-p", spec.source, "--cache", tmp_path / "cache", "--jobs", 1)
    says = complaint(capsys, folder, *usual, code=1)
    assert "nothing was seen or heard in any of 2 files: no valid step" in " ".join(says.split())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("../outside.webp,anger", "line 3: ../outside.webp leads out of"),
        ("{outside},anger", "leads out of"),
        ("link.webp,anger", "line 3: link.webp is a link"),
        ("deep/a.webp,anger", "line 3: deep/a.webp is a link, or goes through one"),
        ("gone.webp,anger", "gone.webp is not there; faces.zip is not opened: type unzip"),
        ("a.webp,anger", "line 3: a.webp stands on line 2 already"),
        ("./a.webp,anger", "stands on line 2 already"),
        ("b.webp,", "line 3: the column emotion is empty"),
        ("b.webp,anger,later", "line 3: split is 'later'"),
        ("b.webp,anger", "every row says anger"),
        ("s.wav,happiness", "line 3: s.wav and a.webp (line 2): sounds and pictures are measured apart"),
    ],
)
def test_rows_that_are_refused(
    row: str, says: str, spec: PipelineSpec, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "faces"
    paint(folder, {"a.webp": RED, "b.webp": GREEN, "../outside.webp": RED})
    (folder / "s.wav").write_bytes(b"RIFF")
    (folder / "faces.zip").write_bytes(b"PK")
    (folder / "link.webp").symlink_to(tmp_path / "outside.webp")
    (folder / "deep").symlink_to(tmp_path)
    row = row.format(outside=tmp_path / "outside.webp")
    (folder / "labels.csv").write_text(f"image,emotion,split\na.webp,anger\n{row}\n")
    usual = ("-m", model, "-p", spec.source, "--cache", tmp_path / "cache", "--jobs", 1)
    assert says in " ".join(complaint(capsys, folder, *usual, code=1).split())


def test_archives_and_tables_without_their_columns(
    spec: PipelineSpec, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = ("-m", model, "-p", spec.source)
    assert "a zip archive is not opened; type: unzip" in complaint(capsys, tmp_path / "faces.zip", *usual, code=1)
    table = tmp_path / "labels.csv"
    assert "labels.csv is not there; name a table" in complaint(capsys, tmp_path, *usual, code=1)
    table.write_text("name,mood\n")
    assert "found the columns name, mood; expected image (or file) and emotion" in complaint(
        capsys, tmp_path, *usual, code=1
    )


def test_names_that_no_column_bears_are_an_error(spec: PipelineSpec, model: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "faces"
    paint(folder, {"a.webp": RED, "b.webp": GREEN})
    (folder / "labels.csv").write_text("image,emotion\na.webp,cross\nb.webp,glad\n")
    says = complaint(capsys, folder, "-m", model, "-p", spec.source, "--cache", tmp_path / "cache", code=2)
    assert "no stage of the pipeline says anything of cross, glad; it says anger, happiness" in " ".join(says.split())


def test_doubtful_classes_have_a_figure_without_them() -> None:
    def seen(emotion: str, **columns: float) -> Reading:
        return Reading(emotion, {"anger": 0.0, "happiness": 0.0, "disgust": 0.0, **columns})

    found = figures(
        [
            seen("anger", anger=1.0),
            seen("anger", disgust=0.6, anger=0.4),
            seen("happiness", happiness=1.0),
            seen("disgust", anger=1.0),
            Reading("happiness", {}),
        ]
    )
    assert found["macro_recall"] == pytest.approx((0.5 + 0.5 + 0) / 3)
    fewer = found["without_doubtful"]
    assert fewer == {"emotions": ["anger", "happiness"], "macro_recall": 0.5, "macro_recall_seen": 0.75}


def test_the_columns_are_those_of_the_channel_that_bears_the_names() -> None:
    rows = np.array([[9.0, 0.2, 0.6], [9.0, 0.4, 0.2], [0.0, 0.0, 0.0]], np.float32)
    times = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])
    names = ("geometry.anger", "expression.anger", "expression.sadness")
    sequence = FeatureSequence(rows, times, np.array([True, True, False]), names)
    found = reading("anger", sequence, {"anger", "sadness"})
    assert found.columns == {"anger": pytest.approx(0.3), "sadness": pytest.approx(0.4)}


def test_a_pipeline_cut_to_one_modality_keeps_its_keys(tmp_path: Path) -> None:
    whole = load_spec("pocket")
    voice, face = only(whole, "audio"), only(whole, "vision")
    assert set(voice.stages) == {"audio"}
    assert set(face.stages) == {"faces", "speaker", "vision"}
    wavfile.write(tmp_path / "tone.wav", 16000, tone(200))
    clip = Clip("tone", tmp_path / "tone.wav")
    with Runner(whole, Store(tmp_path / "cache")) as one, Runner(voice, Store(tmp_path / "cache")) as other:
        assert other.run(clip).keys["audio"] == one.run(clip).keys["audio"]


def test_labels_that_use_the_scale_otherwise_are_measured_by_a_scale_of_their_own() -> None:
    random = np.random.default_rng(0)
    said = random.uniform(-2, 2, 400).astype(np.float32)
    truth = (0.5 * said + 0.3).astype(np.float32)
    videos = [f"v{number // 4}" for number in range(400)]
    assert _rescaled(truth, said, videos, (-3.0, 3.0)) == pytest.approx(0.0, abs=1e-4)
    assert _rescaled(truth, -truth[::-1].copy(), videos, (-3.0, 3.0)) == pytest.approx(
        np.abs(truth - 0.3).mean(), rel=0.1
    )
    names = sorted(set(videos))
    turned = np.where([names.index(video) % 2 for video in videos], -said, said)
    found = _rescaled(turned, said, videos, (-3.0, 3.0))
    assert found == pytest.approx(2 * np.abs(said).mean(), rel=0.05), "what is fitted on a half is not used for it"
    assert _rescaled(truth[:6], said[:6], videos[:6], (-3.0, 3.0)) is None
    assert _rescaled(truth, np.zeros_like(said), videos, (-3.0, 3.0)) is None
