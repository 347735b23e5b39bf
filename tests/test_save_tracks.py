"""The JSON of tracks: what it says of faces and of who speaks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from msapipe.errors import CacheError
from msapipe.pipeline.run import Outcome
from msapipe.pipeline.tracks import save_tracks, stretches
from msapipe.testing import fakes
from msapipe.types import Clip, Speaker


def outcome(speaker: Speaker, clip_id: str = "video/a.mp4") -> Outcome:
    return Outcome(Clip(clip_id, Path("a.mp4")), values={"faces": fakes.face_tracks(6, 2), "speaker": speaker})


def test_what_is_written(tmp_path: Path) -> None:
    score = np.array([[2, -1], [2, -1], [1, 1], [1, 1], [-1, 3], [-1, 3]], np.float32)
    speaker = Speaker(
        track=np.array([0, 0, -1, -1, 1, 1]),
        score=score.max(1),
        face_score=score.ravel(),
        uncertain=np.array([0, 0, 1, 1, 0, 0], bool),
        notes=("a note",),
    )
    assert save_tracks(outcome(speaker), tmp_path) == 2
    told = json.loads((tmp_path / "video" / "a.mp4.json").read_text())
    assert told["clip"] == "video/a.mp4"
    assert (told["frame_size"], told["pictures"], told["notes"]) == ([120, 200], 6, ["a note"])
    assert told["speaker"] == [{"track": 0, "start": 0.0, "end": 0.2}, {"track": 1, "start": 0.4, "end": 0.6}]
    assert told["uncertain"] == [[0.2, 0.4]]
    first, second = told["tracks"]
    assert (first["track"], second["track"]) == (0, 1)
    assert first["score"] == [2, 2, 1, 1, -1, -1]
    assert first["times"][1] == [0.1, 0.2]
    assert second["boxes"][0] == [100, 20, 148, 68]
    assert (first["speaking"], second["speaking"]) == ([[0.0, 0.4]], [[0.2, 0.6]])


def test_a_stage_that_gives_no_score_of_each_face(tmp_path: Path) -> None:
    save_tracks(outcome(Speaker(np.zeros(6, np.int64), np.ones(6, np.float32)), "b.mp4"), tmp_path)
    told = json.loads((tmp_path / "b.mp4.json").read_text())
    assert told["tracks"][0]["score"] is None
    assert told["tracks"][0]["speaking"] is None
    assert told["speaker"] == [{"track": 0, "start": 0.0, "end": 0.6}]
    assert told["uncertain"] == []


def test_nothing_without_faces(tmp_path: Path) -> None:
    assert save_tracks(Outcome(Clip("a.mp4", Path("a.mp4"))), tmp_path) == 0
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="--save-tracks"):
        save_tracks(outcome(Speaker(np.zeros(6, np.int64), np.ones(6, np.float32))), tmp_path / "file")


def test_a_gap_ends_a_stretch() -> None:
    times = np.array([[0, 0.1], [0.1, 0.2], [0.3, 0.4]])
    assert stretches(times) == [[0, 0.2], [0.3, 0.4]]
    assert stretches(times[:0]) == []
