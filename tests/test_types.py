from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msapipe.testing import fakes
from msapipe.types import Clip, FaceClip, FeatureSequence, Prediction, Speaker, Transcript, Waveform, Word
from msapipe.types.faces import ALIGNED_112, similarity


def sequence(**changes: object) -> FeatureSequence:
    parts: dict[str, object] = {
        "values": np.ones((2, 3), np.float32),
        "times": np.array([[0, 1], [1, 2.0]]),
        "valid": np.ones(2, bool),
    }
    return FeatureSequence(**(parts | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"values": np.ones((2, 3))}, "values must be float32"),
        ({"times": np.array([[0, 1], [1, 2.0]], np.float32)}, "times must be float64"),
        ({"times": np.array([[1, 2], [0, 1.0]])}, "must be ordered"),
        ({"times": np.array([[1, 0], [1, 2.0]])}, "must be ordered"),
        ({"valid": np.ones(3, bool)}, r"valid must be bool \(2\)"),
        ({"values": np.full((2, 3), np.nan, np.float32)}, "NaN"),
        ({"valid": np.array([True, False])}, "invalid rows must be zero"),
        ({"names": ("a",)}, "1 names for 3 columns"),
    ],
)
def test_a_sequence_checks_itself(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        sequence(**changes)


def test_values_print_their_shape() -> None:
    assert repr(sequence()) == "FeatureSequence(2, 3) 0.00-2.00s, 100% valid"
    assert "3 words, 3 timed" in repr(fakes.transcript("a b c"))
    assert repr(Waveform(np.zeros(16000, np.float32), 16000)) == "Waveform(1.00s at 16000 Hz)"
    assert repr(fakes.face_tracks(4, 2)) == "FaceTracks(2 tracks, 8 faces in 4 frames)"
    assert repr(fakes.face_clip(4, seen=False)) == "FaceClip(4 frames, 0% valid)"


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ValueError, match="start < end"):
        Clip("a", Path("a"), 2.0, 1.0)
    with pytest.raises(ValueError, match="both start and end"):
        Word("a", 1.0)
    with pytest.raises(ValueError, match="lies outside"):
        Prediction(4.0, (-3.0, 3.0), 1.0, "positive", "m", {})
    with pytest.raises(ValueError, match="NaN"):
        Waveform(np.array([np.inf], np.float32), 16000)
    assert Transcript((Word("a", 0.0, 1.0, estimated=True),)).words[0].timed is False


@given(st.floats(-3, 3), st.floats(0.2, 5), st.floats(-100, 100), st.floats(-100, 100))
def test_a_similarity_is_found_again(turn: float, scale: float, x: float, y: float) -> None:
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    source = ALIGNED_112.astype(np.float64)
    target = source @ matrix.T + [x, y]
    found = similarity(source.astype(np.float32), target.astype(np.float32))
    assert np.allclose(found, np.hstack([matrix, [[x], [y]]]), atol=1e-2)


def test_crops_of_the_speaker_are_views_of_one_square() -> None:
    tracks = fakes.face_tracks(3, 2)
    clip = FaceClip(tracks, Speaker(np.array([1, -1, 0]), np.ones(3, np.float32)))
    assert clip.valid.tolist() == [True, False, True]
    assert clip.boxes[0, 0] == 100
    assert clip.boxes[2, 0] == 20
    assert not clip.boxes[1].any()
    assert clip.loose(0).shape == (128, 128, 3)
    assert clip.loose(0).any()
    assert not clip.loose(1).any()
    assert not clip.aligned(1).any()


def test_an_aligned_crop_has_its_landmarks_on_the_template() -> None:
    clip = fakes.face_clip(1)
    picture = clip.aligned(0)
    assert picture.shape == (112, 112, 3)
    for x, y in ALIGNED_112[:2]:  # the drawn eyes are the darkest part of the drawn skin
        assert picture[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4].min() < 70
    red, _, blue = picture[60, 56].astype(int)
    assert red > blue, "colours are RGB: skin is more red than blue"
