"""What ``pocket`` is measured with: a model on texts, heads on photographs and sounds."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile

from msapipe.cache import Store
from msapipe.errors import ConfigError, MsapipeError
from msapipe.fusion._base import Batch, FusionModel, Output, masked_mean
from msapipe.pipeline.card import Card
from msapipe.pipeline.run import Runner
from msapipe.pipeline.spec import PipelineSpec, load_spec, parse_spec
from msapipe.stages import Stage
from msapipe.types import Clip, FeatureSequence, Frames, Transcript, Waveform

POCKET = Path(__file__).resolve().parents[2] / "models" / "pocket"


@pytest.fixture(scope="module", autouse=True)
def _programs() -> Iterator[None]:
    sys.path.insert(0, str(POCKET))
    yield
    sys.path.remove(str(POCKET))


def heads() -> Any:
    return import_module("heads")


def texts() -> Any:
    return import_module("texts")


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
}
PIPELINE = """
schema: 1
stages:
  transcript: [sidecar]
  words: [given, pocketsphinx, spread]
  text: {use: goodness}
  audio: {use: pitches}
  vision: {use: colours}
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
def spec() -> PipelineSpec:
    return parse_spec(PIPELINE, "fake")


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


def scored(spec: PipelineSpec, table: Path, split: str, sure: bool = True) -> Any:
    """The rows of a split, scored by the fake model."""
    rows, _ = texts().read_texts(table, (-3, 3))
    samples = list(texts().TextStages(spec).samples([row for row in rows if row.split == split], table))
    dims = {"text": 1, "audio": 3, "vision": 5}
    card = Card.model_construct(dims=dims, scale=(-3.0, 3.0))
    return texts().score_texts(Sum(dims, sure), card, samples, "fake")


def test_texts_are_scored_without_clips(spec: PipelineSpec, tmp_path: Path) -> None:
    table = write_labels(tmp_path, *ROWS)
    found = scored(spec, table, "test")
    assert found.scores["mae"] == pytest.approx((0 + 2 + 0.8) / 3)  # said: -2, -1, 0
    assert found.scores["acc2_non0"] == pytest.approx(2 / 3)
    assert found.in_interval == pytest.approx(2 / 3)
    assert found.interval_width == pytest.approx((2 + 2 + 2) / 3)
    assert scored(spec, table, "valid").scores["mae"] == 3.0


def test_a_model_without_bounds_has_no_share_in_them(spec: PipelineSpec, tmp_path: Path) -> None:
    found = scored(spec, write_labels(tmp_path, *ROWS), "test", sure=False)
    assert (found.in_interval, found.interval_width) == (None, None)


def test_what_is_wrong_with_a_row_is_said_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(MsapipeError, match=r"line 3: the label 3\.5 lies outside"):
        texts().read_texts(write_labels(tmp_path, ROWS[0], "v,2,good,3.5,test"), (-3, 3))
    rows, notes = texts().read_texts(write_labels(tmp_path, *ROWS, "w,7,,1,test", "w,8,good,,test"), (-3, 3))
    assert len(rows) == len(ROWS)
    assert notes == ["1 rows without a text, left out: line 7", "1 rows without a label, left out: line 8"]


def test_a_text_has_the_features_that_its_clip_would_have(spec: PipelineSpec, tmp_path: Path) -> None:
    wavfile.write(tmp_path / "clip.wav", 16000, tone(200))
    with Runner(spec, Store(tmp_path / "cache")) as runner:
        clip = runner.run(Clip("clip", tmp_path / "clip.wav", text="a good  bad day")).features["text"]
    text = texts().TextStages(spec).features("a good  bad day", tmp_path / "label.csv")["text"]
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


def measured(folder: Path, spec: PipelineSpec, cache: Path) -> Any:
    """What is said of the head on a folder."""
    return heads().figures(heads().readings(heads().read_emotions(folder), spec, str(cache)))


def test_a_head_is_measured_on_pictures(spec: PipelineSpec, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    paint(folder, {"a.webp": RED, "b.webp": GREEN, "c.webp": GREEN, "d.webp": DARK, "e.webp": BLUE, "f.webp": RED})
    emotions = {"a": "anger", "b": "anger", "c": "happiness", "d": "happiness", "e": "neutral", "f": "contempt"}
    rows = [f"{name}.webp,{emotion},valid" for name, emotion in emotions.items()]
    (folder / "labels.csv").write_text("\n".join(["image,emotion,split", *rows]) + "\n")
    found = measured(folder, spec, tmp_path / "cache")
    assert (found["files"], found["unseen"], found["reasons"]) == (6, 1, {"no valid step": 1})
    assert found["unknown"] == {"contempt": 1}
    assert found["classes"]["anger"] == {"files": 2, "recall": 0.5, "recall_seen": 0.5}
    assert found["classes"]["happiness"] == {"files": 2, "recall": 0.5, "recall_seen": 1.0}
    assert found["macro_recall"] == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert found["macro_recall_seen"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert found["valence"] == pytest.approx((0.5 + 0.5) / 2)  # anger .5, happiness .5; b is above zero, d unseen
    assert found["valence_seen"] == pytest.approx((1 + 0.5) / 2)
    assert "arousal" not in found


def test_a_head_is_measured_on_sounds(spec: PipelineSpec, tmp_path: Path) -> None:
    folder = tmp_path / "voices"
    folder.mkdir()
    for name, hertz in {"a": 400, "b": 400, "c": 200, "d": 0}.items():
        wavfile.write(folder / f"{name}.wav", 16000, tone(hertz))
    rows = "a.wav,angry,1\nb.wav,sad,1\nc.wav,sad,2\nd.wav,angry,2\n"
    (folder / "labels.csv").write_text("file,emotion,speaker\n" + rows)
    found = measured(folder, spec, tmp_path / "cache")
    assert (found["files"], found["unseen"]) == (4, 1)
    assert (found["macro_recall"], found["macro_recall_seen"]) == (0.5, 0.75)
    assert (found["arousal"], found["arousal_seen"]) == (0.5, 0.75)
    assert "valence" not in found


def test_a_file_that_cannot_be_read_counts_as_wrong(spec: PipelineSpec, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    paint(folder, {"a.webp": RED, "b.webp": GREEN})
    (folder / "c.webp").write_bytes(b"no picture")
    (folder / "labels.csv").write_text("image,emotion\na.webp,anger\nb.webp,happiness\nc.webp,anger\n")
    found = measured(folder, spec, tmp_path / "cache")
    assert (found["unseen"], found["macro_recall"]) == (1, 0.75)
    assert list(found["reasons"]) == ["failed"]


def test_names_that_no_column_bears_are_an_error(spec: PipelineSpec, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    paint(folder, {"a.webp": RED, "b.webp": GREEN})
    (folder / "labels.csv").write_text("image,emotion\na.webp,cross\nb.webp,glad\n")
    with pytest.raises(ConfigError, match="says anything of cross, glad; it says anger, happiness"):
        measured(folder, spec, tmp_path / "cache")


def test_doubtful_classes_have_a_figure_without_them() -> None:
    def seen(emotion: str, **columns: float) -> Any:
        return heads().Reading(emotion, {"anger": 0.0, "happiness": 0.0, "disgust": 0.0, **columns})

    found = heads().figures(
        [
            seen("anger", anger=1.0),
            seen("anger", disgust=0.6, anger=0.4),
            seen("happiness", happiness=1.0),
            seen("disgust", anger=1.0),
            heads().Reading("happiness", {}),
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
    found = heads().reading("anger", sequence, {"anger", "sadness"})
    assert found.columns == {"anger": pytest.approx(0.3), "sadness": pytest.approx(0.4)}


def test_a_pipeline_cut_to_one_modality_keeps_its_keys(tmp_path: Path) -> None:
    whole = load_spec("pocket")
    voice, face = heads().only(whole, "audio"), heads().only(whole, "vision")
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
    assert texts()._rescaled(truth, said, videos, (-3.0, 3.0)) == pytest.approx(0.0, abs=1e-4)
    assert texts()._rescaled(truth, -truth[::-1].copy(), videos, (-3.0, 3.0)) == pytest.approx(
        np.abs(truth - 0.3).mean(), rel=0.1
    )
    names = sorted(set(videos))
    turned = np.where([names.index(video) % 2 for video in videos], -said, said)
    found = texts()._rescaled(turned, said, videos, (-3.0, 3.0))
    assert found == pytest.approx(2 * np.abs(said).mean(), rel=0.05), "what is fitted on a half is not used for it"
    assert texts()._rescaled(truth[:6], said[:6], videos[:6], (-3.0, 3.0)) is None
    assert texts()._rescaled(truth, np.zeros_like(said), videos, (-3.0, 3.0)) is None


def test_the_middle_of_the_picture_is_the_face() -> None:
    picture = np.zeros((60, 100, 3), np.uint8)
    picture[:, 20:80] = (10, 120, 240)
    face = heads().filled_by_a_face(picture)
    assert face.valid.tolist() == [True]
    assert np.abs(face.square(0).astype(int) - (10, 120, 240)).max() < 12, "60 x 60, and nothing of its sides"
    assert np.abs(face.aligned(0)[:108, :108].astype(int) - (10, 120, 240)).max() < 12


@pytest.mark.parametrize("size", [(192, 192), (120, 90)])
def test_a_photograph_without_a_detected_face_has_an_expression(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8))
    photographs = heads().Photographs(heads().only(load_spec("pocket"), "vision"))
    features = photographs.features(path)
    photographs.close()
    assert features is not None
    assert features.valid.all()
    assert features.names[0].startswith("expression.")


def test_a_photograph_without_a_detected_face_is_taken_for_one(tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 255, (96, 96, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), noise)
    (folder / "labels.csv").write_text("image,emotion\n0.png,happiness\n1.png,anger\n")
    found = measured(folder, load_spec("pocket"), tmp_path / "cache")
    assert (found["assumed"], found["unseen"], found["reasons"]) == (2, 0, {"no face was found": 2})


def test_stages_that_read_more_than_the_face_are_left_alone() -> None:
    assert heads().Photographs.suit(load_spec("pocket"))
    text = "schema: 1\nstages: {faces: mtcnn, speaker: largest, vision: {action_units: {use: action_units}}}"
    assert heads().Photographs.suit(parse_spec(text, "units"))


def test_faces_that_were_assumed_count_but_are_not_seen() -> None:
    sure = [
        heads().Reading(name, {"happiness": float(name == "happiness"), "anger": 0.5})
        for name in ("happiness", "anger")
    ]
    guess = heads().Reading("anger", {"happiness": 1.0, "anger": 0.0}, "no face was found")
    found = heads().figures([*sure, guess])
    assert (found["unseen"], found["assumed"], found["reasons"]) == (0, 1, {"no face was found": 1})
    assert (found["classes"]["anger"]["recall"], found["classes"]["anger"]["recall_seen"]) == (0.5, 1.0)
