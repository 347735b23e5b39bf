"""What a notebook asks for: plain values, short texts, lists, clips in memory, and why a score is what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import msapipe
from msapipe import Pipeline, Prediction, Recording
from msapipe.api import clip_of
from msapipe.errors import EndsRun, MediaError, MissingWeights, NothingToScore
from msapipe.media import Decoder, MediaOptions, write_recording
from msapipe.pipeline import progress
from msapipe.pipeline.run import Outcome
from msapipe.types import Clip, Contribution, FrameBatch, Transcript, Word


def pictures(count: int = 12, height: int = 61, width: int = 83) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def sound(seconds: float = 1.0, rate: int = 16000) -> np.ndarray:
    return np.random.default_rng(1).uniform(-0.5, 0.5, int(seconds * rate)).astype(np.float32)


def read(recording: Recording, path: Path, fps: float) -> tuple[list[FrameBatch], np.ndarray]:
    write_recording(recording, path)
    with Decoder() as decoder:
        options = MediaOptions(fps=fps, rate=16000, peak_db=0.0)
        batches = list(decoder.frames(Clip("a", path), options).batches(1000)) if recording.frames is not None else []
        return batches, decoder.waveform(Clip("a", path), options).samples


def test_a_recording_comes_out_as_it_went_in(tmp_path: Path) -> None:
    given, heard = pictures(30), sound()
    (batch,), samples = read(Recording(given, 29.97, heard, 16000), tmp_path / "a.mov", 60)
    assert (batch.pixels == given).all()
    np.testing.assert_allclose(batch.times[:, 0], np.arange(30) / 29.97, atol=1e-6)
    np.testing.assert_allclose(samples * np.abs(heard).max(), heard, atol=1e-6)


def test_a_recording_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a.mov", "b.mov"):
        write_recording(Recording(pictures(), 25, sound(), 16000), tmp_path / name)
    assert (tmp_path / "a.mov").read_bytes() == (tmp_path / "b.mov").read_bytes()


def test_torch_tensors_with_channels_first(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    given = pictures(4)
    tensor = torch.from_numpy(given).permute(0, 3, 1, 2)
    stereo = torch.from_numpy(np.stack([sound(0.5)] * 2))
    (batch,), samples = read(Recording(tensor, 10, stereo, 16000), tmp_path / "a.mov", 10)
    assert (batch.pixels == given).all()
    assert len(samples) == 8000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "needs frames, samples, or both"),
        ({"frames": np.zeros((2, 4, 4), np.uint8), "fps": 25}, r"found shape \(2, 4, 4\), expected \(T, H, W, 3\)"),
        ({"frames": np.zeros((2, 4, 4, 3), np.float32), "fps": 25}, "found float32, expected uint8"),
        ({"frames": np.zeros((2, 4, 4, 3), np.uint8)}, "fps: found None"),
        ({"samples": np.zeros(8, np.int16), "rate": 8000}, "found int16, expected float"),
        ({"samples": np.full(8, 1.5), "rate": 8000}, r"outside \[-1, 1\]"),
        ({"samples": np.zeros((5, 8)), "rate": 8000}, r"found shape \(5, 8\)"),
        ({"samples": np.zeros(8), "rate": 0}, "rate: found 0"),
    ],
)
def test_a_recording_that_is_none_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Recording(**given)


def test_the_file_of_a_recording_is_gone_afterwards() -> None:
    with clip_of(Recording(samples=sound(), rate=16000)) as clip:
        assert clip.path.is_file()
    assert not clip.path.exists()


def test_a_recording_is_scored_by_its_words_and_from_the_cache(pocket: Pipeline) -> None:
    recording = Recording(samples=sound(), rate=16000, text="This was the best film that I have ever seen.", id="mine")
    found = pocket.predict(recording)
    assert found.score > 1
    assert found.transcript is not None
    assert found.transcript.text == recording.text
    (again,) = pocket.run([recording])
    assert not again.computed
    assert again.clip.id == "mine"


def test_a_prediction_as_plain_values(pocket: Pipeline, samples: Path, outcomes: dict[str, Outcome]) -> None:
    found = pocket.score(outcomes["subtitled"])
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["score"] == round(found.score, 4)
    assert plain["keys"] == found.keys != {}
    assert plain["transcript"]["source"].startswith("subtitle")
    assert plain["transcript"]["text"] == outcomes["subtitled"].values["transcript"].text
    assert plain["timeline"] == []
    assert set(plain["modalities"]) == {"text", "audio", "vision"}


def test_what_is_kept_of_a_prediction_holds_no_words(pocket: Pipeline, outcomes: dict[str, Outcome]) -> None:
    assert pocket.model is not None
    bare = pocket.model.predict(Outcome(**{**vars(outcomes["subtitled"]), "values": {}}), pocket.store)
    assert bare.transcript is None
    assert pocket.score(outcomes["subtitled"]).transcript is not None


def test_texts_of_results_are_short(pocket: Pipeline, samples: Path, outcomes: dict[str, Outcome]) -> None:
    found = pocket.score(outcomes["positive"])
    shown = [pocket, found, outcomes["positive"], pocket.explain(samples / "positive.mp4")]
    shown += [Recording(pictures(), 25, sound(), 16000), FrameBatch(pictures(1), np.array([[0.0, 0.1]]))]
    assert [text for text in map(repr, shown) if len(text) > 300 or "\n" in text] == []
    assert repr(found).startswith(f"Prediction({found.score:+.2f} [")
    missing = Prediction(1.0, (-3, 3), 0.3, "positive", "m", {"text": Contribution(0.0, True, None, None)})
    assert repr(missing) == "Prediction(+1.00 positive on [-3, +3], model m; text missing)"


def test_a_list_is_scored_clip_by_clip(pocket: Pipeline, samples: Path, tmp_path: Path) -> None:
    clips = [str(samples / "positive.mp4"), str(tmp_path / "gone.mp4"), str(samples / "negative.mp4")]
    first, gone, last = pocket.predict(clips)
    assert isinstance(first, Prediction)
    assert isinstance(last, Prediction)
    assert first.score > 0 > last.score
    assert isinstance(gone, MediaError)
    assert "gone.mp4" in str(gone)
    silent = pocket.predict([Recording(samples=np.zeros(16000), rate=16000)])
    assert isinstance(silent[0], NothingToScore)


def test_what_no_clip_escapes_ends_a_list(pocket: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(clip: Clip) -> Outcome:
        raise MissingWeights("never fetched")

    monkeypatch.setattr(pocket, "_checked", refuse)
    with pytest.raises(EndsRun, match="never fetched"):
        pocket.predict(["a.mp4", "b.mp4"])


def test_why_a_score_is_what_it_is(pocket: Pipeline, samples: Path) -> None:
    why = pocket.explain(samples / "positive.mp4")
    assert {word.text.strip(".,").lower() for word in why.strongest(4)} & {"wonderful", "happy", "love"}
    plain = json.loads(json.dumps(why.to_dict()))
    assert set(plain["trust"]) == {"text", "audio", "vision"}
    assert [word["text"] for word in plain["words"]] == [word.text for word in why.words]


def test_a_pipeline_without_a_model_says_so(samples: Path, sample_cache: Path) -> None:
    with msapipe.load("plain", cache=sample_cache) as plain:
        plain.model = None
        with pytest.raises(MediaError, match="names no model"):
            plain.explain(samples / "subtitled.mp4")


def test_a_bar_is_drawn_where_somebody_looks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(progress.with_bar([1, 2, 3])) == [1, 2, 3]
    assert capsys.readouterr().err == ""
    assert list(progress.with_bar([1, 2, 3], wanted=True)) == [1, 2, 3]
    assert "3/3" in capsys.readouterr().err
    monkeypatch.setattr(progress, "_watched", lambda: True)
    assert list(progress.with_bar([1, 2, 3])) == [1, 2, 3]
    assert "3/3" in capsys.readouterr().err
    assert list(progress.with_bar([1])) == [1]
    assert capsys.readouterr().err == ""


def test_words_of_a_prediction_are_plain_values() -> None:
    words = Transcript((Word("fine"),), "en", "sidecar a.txt")
    found = Prediction(1.0, (-3, 3), 0.3, "positive", "m", {}, transcript=words)
    assert found.to_dict()["transcript"] == {"text": "fine", "source": "sidecar a.txt", "language": "en"}
