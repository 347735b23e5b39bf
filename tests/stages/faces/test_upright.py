"""Films on their side that do not say so."""

from __future__ import annotations

import numpy as np
import pytest

from msapipe.stages.faces._upright import LOOKS, Spread, quarter_turns
from msapipe.stages.faces.mtcnn import MTCNN
from msapipe.types import FaceTracks, Frames
from tests.stages.faces.test_mtcnn import Picture, clip, portrait, scene

__all__ = ["portrait"]


def upright(portrait: Picture) -> list[Picture]:
    """A speaker who moves a little, in a wide picture."""
    return [scene(portrait, [(200 + 3 * step, 40)]) for step in range(8)]


def found(mtcnn: MTCNN, pictures: list[Picture]) -> tuple[FaceTracks, Frames]:
    frames = clip(pictures)
    return mtcnn.run(frames), frames


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_film_on_its_side_gives_the_faces_of_the_upright_one(mtcnn: MTCNN, portrait: Picture, quarters: int) -> None:
    right, _ = found(mtcnn, upright(portrait))
    sideways = [np.ascontiguousarray(np.rot90(picture, quarters)) for picture in upright(portrait)]
    tracks, frames = found(mtcnn, sideways)
    assert tracks.frame_size == right.frame_size == (300, 640)
    assert np.array_equal(tracks.boxes, right.boxes)
    assert np.array_equal(tracks.landmarks, right.landmarks)
    assert np.array_equal(tracks.crops.data, right.crops.data)
    assert frames.notes == [
        f"Faces lie on their side: the pictures are turned by {360 - 90 * quarters} degrees counterclockwise, "
        "which the file does not ask for."
    ]


def test_nothing_is_searched_twice_when_faces_are_upright(
    mtcnn: MTCNN, portrait: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> int:
        raise AssertionError("the four turns were tried")

    monkeypatch.setattr("msapipe.stages.faces.mtcnn.quarter_turns", never)
    _, frames = found(mtcnn, upright(portrait))
    assert frames.notes == []


def test_without_faces_or_with_upright_ones_in_part_nothing_is_turned(mtcnn: MTCNN, portrait: Picture) -> None:
    empty = scene(portrait, [])
    tracks, frames = found(mtcnn, [empty] * 4)
    assert (len(tracks.track), tracks.frame_size, frames.notes) == (0, (300, 640), [])
    tracks, frames = found(mtcnn, [*upright(portrait)[:3], *[empty] * 9])
    assert (tracks.frame_size, frames.notes) == ((300, 640), [])


def test_exact_turns_nothing(exact: MTCNN, portrait: Picture) -> None:
    tracks, frames = found(exact, [np.ascontiguousarray(np.rot90(scene(portrait, [(200, 40)])))])
    assert (tracks.frame_size, frames.notes) == ((640, 300), [])


@pytest.mark.parametrize("count", [1, 5, 6, 13, 100, 1000])
def test_looks_are_few_and_spread(count: int) -> None:
    spread = Spread()
    for number in range(count):
        spread.add(np.full((1, 1, 3), number % 256, np.uint8) + np.uint8(0))
    assert min(count, LOOKS // 2) <= len(spread.pictures) <= LOOKS


@pytest.mark.parametrize(
    ("scores", "quarters"),
    [
        ([0.9, 0.99, 0, 0], 1),
        ([0.97, 0.99, 0, 0], 0),
        ([0, 0, 0, 0.9], 0),
        ([0, 0, 0.96, 0.99], 3),
        ([0, 0, 0, 0], 0),
    ],
)
def test_a_turn_must_be_clearly_better(scores: list[float], quarters: int) -> None:
    answers = iter(scores * 2)
    picture = np.zeros((2, 3, 3), np.uint8)
    assert quarter_turns([picture, picture], lambda _: next(answers)) == quarters
    assert quarter_turns([], lambda _: 1.0) == 0
