from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from msapipe.pipeline.spec import load_spec, parse_spec
from msapipe.train.heads import Reading, figures, only
from msapipe.train.photographs import Photographs, filled_by_a_face


def test_the_middle_of_the_picture_is_the_face() -> None:
    picture = np.zeros((60, 100, 3), np.uint8)
    picture[:, 20:80] = (10, 120, 240)
    face = filled_by_a_face(picture)
    assert face.valid.tolist() == [True]
    assert np.abs(face.square(0).astype(int) - (10, 120, 240)).max() < 12, "60 x 60, and nothing of its sides"
    assert np.abs(face.aligned(0)[:108, :108].astype(int) - (10, 120, 240)).max() < 12


@pytest.mark.parametrize("size", [(192, 192), (120, 90)])
def test_a_photograph_without_a_detected_face_has_an_expression(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8))
    photographs = Photographs(only(load_spec("pocket"), "vision"))
    features = photographs.features(path)
    photographs.close()
    assert features is not None
    assert features.valid.all()
    assert features.names[0].startswith("expression.")


def test_stages_that_read_more_than_the_face_are_left_alone() -> None:
    assert Photographs.suit(load_spec("pocket"))
    text = "schema: 1\nstages: {faces: mtcnn, speaker: largest, vision: {action_units: {use: action_units}}}"
    assert Photographs.suit(parse_spec(text, "units"))


def test_faces_that_were_assumed_count_but_are_not_seen() -> None:
    sure = [Reading(name, {"happiness": float(name == "happiness"), "anger": 0.5}) for name in ("happiness", "anger")]
    guess = Reading("anger", {"happiness": 1.0, "anger": 0.0}, "no face was found")
    found = figures([*sure, guess])
    assert (found["unseen"], found["assumed"], found["reasons"]) == (0, 1, {"no face was found": 1})
    assert (found["classes"]["anger"]["recall"], found["classes"]["anger"]["recall_seen"]) == (0.5, 1.0)
