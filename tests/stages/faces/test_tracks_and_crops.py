"""The parts of the faces stage that need no net: who is who, cuts, squares, what is believed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from msapipe.stages.faces._crops import cut_out, loose_square, resized
from msapipe.stages.faces._detector import Found, distinct, pyramid, square
from msapipe.stages.faces._tracks import CutFinder, Tracker, overlaps
from msapipe.stages.faces.mtcnn import MTCNN, _Row, _together
from msapipe.types import EncodedImages

cv2 = pytest.importorskip("cv2")
Floats = NDArray[np.float32]


def faces(*places: tuple[float, float, float]) -> tuple[Floats, Floats]:
    """Boxes and landmarks of faces given as x, y of the middle and side."""
    boxes = np.array([[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for x, y, s in places], np.float32).reshape(-1, 4)
    points = np.array([[-0.2, -0.15], [0.2, -0.15], [0, 0.05], [-0.15, 0.25], [0.15, 0.25]], np.float32)
    return boxes, np.array([np.array([x, y]) + points * s for x, y, s in places], np.float32).reshape(-1, 5, 2)


def follow(steps: Sequence[tuple[float, bool, Sequence[tuple[float, float, float]]]]) -> list[list[int]]:
    tracker = Tracker(overlap=0.3, bridge=0.5)
    named = []
    for time, cut, places in steps:
        tracker.begin(time, cut)
        named.append(tracker.name(*faces(*places)).tolist())
    return named


def test_two_who_pass_each_other_keep_their_numbers() -> None:
    steps = [(i / 10, False, [(100 + 10 * i, 100, 50), (200 - 10 * i, 120, 50)]) for i in range(10)]
    assert follow(steps) == [[0, 1]] * 10


def test_the_order_within_a_picture_does_not_matter() -> None:
    steps = [(0.0, False, [(100, 100, 50), (300, 100, 50)]), (0.1, False, [(302, 100, 50), (99, 100, 50)])]
    assert follow(steps) == [[0, 1], [1, 0]]


def test_a_gap_is_bridged_for_half_a_second_and_no_longer() -> None:
    face = [(100.0, 100.0, 50.0)]
    assert follow([(0.0, False, face), (0.1, False, []), (0.5, False, face)]) == [[0], [], [0]]
    assert follow([(0.0, False, face), (0.1, False, []), (0.7, False, face)]) == [[0], [], [1]]


def test_a_cut_ends_all_tracks() -> None:
    face = [(100.0, 100.0, 50.0)]
    assert follow([(0.0, False, face), (0.1, True, face)]) == [[0], [1]]


def test_who_walks_out_of_his_box_is_still_himself_unless_his_size_changes() -> None:
    assert follow([(0.0, False, [(100, 100, 50)]), (0.1, False, [(155, 100, 50)])]) == [[0], [0]]
    assert follow([(0.0, False, [(100, 100, 50)]), (0.1, False, [(155, 100, 90)])]) == [[0], [1]]
    assert follow([(0.0, False, [(100, 100, 50)]), (0.1, False, [(190, 100, 50)])]) == [[0], [1]]


def test_only_who_was_just_there_can_leap() -> None:
    assert follow([(0.0, False, [(100, 100, 50)]), (0.1, False, []), (0.2, False, [(155, 100, 50)])]) == [[0], [], [1]]


def test_a_leap_does_not_take_the_number_of_one_who_stayed() -> None:
    steps = [(0.0, False, [(100, 100, 50)]), (0.1, False, [(150, 100, 50), (103, 100, 50)])]
    assert follow(steps) == [[0], [1, 0]]


def test_only_who_was_in_the_picture_before_is_expected() -> None:
    tracker = Tracker(0.3, 0.5)
    tracker.begin(0.0, False)
    tracker.name(*faces((100, 100, 50), (300, 100, 50)))
    tracker.begin(0.1, False)
    assert tracker.expected.shape == (2, 4)
    tracker.name(*faces((100, 100, 50)))
    tracker.begin(0.2, False)
    assert np.array_equal(tracker.expected, faces((100, 100, 50))[0])


def test_cuts() -> None:
    ramp = np.ascontiguousarray(np.broadcast_to(np.linspace(0, 200, 160).astype(np.uint8)[None, :, None], (90, 160, 3)))
    brighter, black = ramp + np.uint8(40), np.zeros_like(ramp)
    pictures = [ramp, ramp, np.roll(ramp, 4, axis=1), brighter, ramp[:, ::-1], black, black, ramp]
    finder = CutFinder(cv2)
    assert [finder.cut(picture) for picture in pictures] == [False, False, False, False, True, True, False, True]


def test_noise_in_the_dark_is_no_cut() -> None:
    random, finder = np.random.default_rng(0), CutFinder(cv2)
    assert not any(finder.cut(random.integers(0, 12, (90, 160, 3), np.uint8)) for _ in range(5))


def test_overlap_by_hand() -> None:
    a, b = (
        np.array([[0, 0, 10, 10]], np.float32),
        np.array([[5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10]], np.float32),
    )
    assert np.allclose(overlaps(a, b), [[1 / 3, 0, 1]])
    assert overlaps(a[:0], b).shape == (0, 3)


def test_of_two_boxes_in_one_place_the_better_stays() -> None:
    boxes = np.array([[0, 0, 100, 100], [30, 30, 70, 70], [200, 0, 300, 100]], np.float32)
    assert distinct(boxes, np.array([0.8, 0.9, 0.7], np.float32), 0.7).tolist() == [1, 2]


def test_a_followed_face_that_the_search_missed_stays_and_none_is_there_twice() -> None:
    def found(*places: tuple[float, float, float]) -> Found:
        return Found(*faces(*places), np.full(len(places), 0.95, np.float32))

    both = _together(found((100, 100, 50)), found((102, 100, 50), (300, 100, 50)))
    assert sorted(both.boxes.tolist()) == faces((100, 100, 50), (300, 100, 50))[0].tolist()
    assert len(_together(found(), found((300, 100, 50))).score) == 1
    assert len(_together(found(), found()).score) == 0


def test_squares_and_pyramid_by_hand() -> None:
    assert square(np.array([[10, 20, 30, 60]], np.float32)).tolist() == [[0, 20, 40, 60]]
    assert list(pyramid(100, 60, 0.5)) == [0.2]
    assert np.allclose(list(pyramid(100, 20, 0.5)), [0.6, 0.3, 0.15])
    assert list(pyramid(10, 20, 0.709)) == []


def test_loose_square_is_1_4_times_the_longer_side_in_whole_pixels() -> None:
    assert loose_square(np.array([100, 100, 180, 200], np.float32)) == (70, 80, 140)
    assert loose_square(np.array([5, 5, 7, 7], np.float32))[2] == 16


def crop(picture: NDArray[np.uint8], where: tuple[int, int, int]) -> NDArray[np.uint8]:
    return EncodedImages.join([cut_out(cv2, picture, where)]).decode(0)


def test_crops_keep_colours_and_are_black_outside() -> None:
    picture = np.full((100, 120, 3), (200, 60, 30), np.uint8)
    cut = crop(picture, (-40, 20, 64))
    assert cut.shape == (64, 64, 3)
    assert np.abs(cut[8:-8, 48:56].astype(int) - (200, 60, 30)).max() <= 6
    assert cut[:, :24].max() <= 12
    assert crop(picture, (500, 500, 20)).max() == 0
    assert crop(picture, (-20, -20, 160)).shape == (160, 160, 3)


def test_crops_are_shrunk_to_192_never_enlarged() -> None:
    picture = np.zeros((900, 900, 3), np.uint8)
    assert crop(picture, (0, 0, 191)).shape == (191, 191, 3)
    assert crop(picture, (0, 0, 800)).shape == (192, 192, 3)


def test_a_passing_mistake_is_dropped_and_a_weak_view_of_a_sure_person_kept() -> None:
    def row(person: int, at: int, score: float) -> _Row:
        box, landmarks = faces((50, 50, 40))
        return _Row(at, person, box[0], landmarks[0], score, (0, 0, 16), b"")

    rows = [row(0, i, score) for i, score in enumerate((0.75, 0.95, 0.8, 0.72, 0.8))]
    rows += [row(1, i, 0.97) for i in range(4)]  # four times, never sure
    rows += [row(2, 3, 0.995)]  # once, sure
    rows += [row(3, i, 0.85) for i in range(5)]  # long, never above min_score
    assert [r.person for r in MTCNN()._believed(rows)] == [0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize(("most", "decibels"), [(1.41, 1.0), (2.0, 4.5)])
@pytest.mark.parametrize("old", [48, 60, 68, 95, 96, 150, 200, 333])
def test_a_smaller_picture_is_about_as_close_to_the_ideal_as_the_mean_of_pixels(
    old: int, most: float, decibels: float
) -> None:
    from PIL import Image
    from skimage import data

    picture = np.ascontiguousarray(data.astronaut()[20 : 20 + old, 180 : 180 + old])  # type: ignore[no-untyped-call]
    ideal = np.asarray(Image.fromarray(picture).resize((48, 48), Image.Resampling.LANCZOS), np.float32)
    made = resized(cv2, picture, 48, 48, most)
    mean = cv2.resize(picture, (48, 48), interpolation=cv2.INTER_AREA)
    assert (made.shape, made.dtype) == ((48, 48, 3), np.uint8)
    assert np.square(made - ideal).mean() <= 10 ** (decibels / 10) * np.square(mean - ideal).mean()
    assert resized(cv2, picture, 50, 400, most).shape == (50, 400, 3)
