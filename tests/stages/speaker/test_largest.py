"""The choice of the largest face, on tracks made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from msapipe.errors import ConfigError
from msapipe.stages.speaker.largest import Largest
from msapipe.types import EncodedImages, FaceTracks


def tracks(sizes: Sequence[Sequence[float]], fps: float = 10.0, score: float = 1.0, height: int = 400) -> FaceTracks:
    """One list per person: the side of the box in each picture, 0 where the person is not."""
    rows = len(sizes[0]) if sizes else 4
    found = [(row, person, sizes[person][row]) for row in range(rows) for person in range(len(sizes))]
    found = [item for item in found if item[2] > 0]
    row, track = (np.array([item[i] for item in found], np.int64) for i in (0, 1))
    side = np.array([item[2] for item in found], np.float32)
    start = np.arange(rows) / fps
    return FaceTracks(
        times=np.column_stack([start, start + 1 / fps]),
        frame_size=(height, 800),
        track=track,
        row=row,
        boxes=np.column_stack([0 * side, 0 * side, side, side]).astype(np.float32),
        landmarks=np.zeros((len(found), 5, 2), np.float32),
        score=np.full(len(found), score, np.float32),
        squares=np.zeros((len(found), 3), np.float32),
        crops=EncodedImages.join([b""] * len(found)),
    )


def choose(sizes: Sequence[Sequence[float]], fps: float = 10.0, **params: float) -> list[int]:
    return [int(track) for track in Largest(**params).run(tracks(sizes, fps)).track]


def test_the_larger_face_speaks() -> None:
    assert choose([[80] * 5, [120] * 5]) == [1] * 5


def test_score_is_the_share_of_the_shorter_side() -> None:
    spoken = Largest().run(tracks([[80] * 5, [120] * 5]))
    assert np.allclose(spoken.score, 120 / 400)
    assert spoken.score.dtype == np.float32


def test_equal_faces_do_not_flicker() -> None:
    a = [100.0 + 9 * (i % 2) for i in range(20)]
    b = [109.0 - 9 * (i % 2) for i in range(20)]
    assert len(set(choose([a, b]))) == 1


def test_the_greater_total_wins_among_similar_sizes_even_from_the_start() -> None:
    assert choose([[110] * 3 + [0] * 17, [100] * 20]) == [1] * 20


def test_a_face_must_be_larger_by_the_margin_to_take_over() -> None:
    assert choose([[130] * 12 + [100] * 8, [80] * 12 + [120] * 8], smooth=0) == [0] * 20
    assert choose([[130] * 12 + [100] * 8, [80] * 12 + [130] * 8], smooth=0) == [0] * 12 + [1] * 8


@pytest.mark.parametrize("fps", [1.0, 10.0])
def test_who_speaks_goes_on_against_a_slightly_larger_face_of_greater_total(fps: float) -> None:
    assert choose([[130] * 6 + [100] * 20, [80] * 6 + [115] * 20], fps, smooth=0) == [0] * 26


def test_one_large_picture_is_smoothed_away() -> None:
    assert choose([[100] * 21, [95] * 10 + [140] + [95] * 10]) == [0] * 21


def test_a_short_absence_is_waited_for() -> None:
    assert choose([[100] * 5 + [0] * 3 + [100] * 5, [85] * 13]) == [0] * 5 + [-1] * 3 + [0] * 5


def test_a_long_absence_gives_the_word_to_the_next() -> None:
    gone = [100.0] * 5 + [0.0] * 10 + [100.0] * 5
    assert choose([gone, [70] * 20]) == [0] * 5 + [1] * 10 + [0] * 5
    assert choose([gone, [90] * 20]) == [1] * 20  # alike in size, and longer in sight


def test_who_never_comes_back_is_not_waited_for() -> None:
    assert choose([[100] * 5 + [0] * 4, [70] * 9]) == [0] * 5 + [1] * 4


def test_each_shot_has_its_own_speaker() -> None:
    assert choose([[100] * 4 + [0] * 4, [60] * 4 + [0] * 4, [0] * 4 + [50] * 4]) == [0] * 4 + [2] * 4


def test_slow_sampling_does_not_forget() -> None:
    assert choose([[101] * 6, [105, 95] * 3], fps=1) == [0] * 6


def test_nobody() -> None:
    spoken = Largest().run(tracks([]))
    assert spoken.track.tolist() == [-1] * 4
    assert spoken.score.tolist() == [0] * 4
    assert len(Largest().run(tracks([[]])).track) == 0


def test_boxes_without_area() -> None:
    faces = tracks([[100] * 3])
    faces.boxes[:, 2] = -5
    assert Largest().run(faces).track.tolist() == [0, 0, 0]


def test_many_people_for_long_is_quick_enough() -> None:
    random = np.random.default_rng(0)
    rows, people = 20_000, 400
    row = np.sort(random.integers(0, rows, 60_000))
    track = random.integers(0, people, len(row))
    _, first = np.unique(row * people + track, return_index=True)
    row, track = row[first], track[first]
    side = random.uniform(40, 90, len(row)).astype(np.float32)
    faces = FaceTracks(
        times=np.column_stack([np.arange(rows) / 10, np.arange(1, rows + 1) / 10]),
        frame_size=(400, 800),
        track=track.astype(np.int64),
        row=row.astype(np.int64),
        boxes=np.column_stack([0 * side, 0 * side, side, side]).astype(np.float32),
        landmarks=np.zeros((len(row), 5, 2), np.float32),
        score=np.ones(len(row), np.float32),
        squares=np.zeros((len(row), 3), np.float32),
        crops=EncodedImages.join([b""] * len(row)),
    )
    spoken = Largest().run(faces)
    chosen = spoken.track >= 0
    there = set(zip(row.tolist(), track.tolist(), strict=True))
    assert all((r, int(spoken.track[r])) in there for r in np.flatnonzero(chosen).tolist())


@pytest.mark.parametrize("wrong", [{"margin": -1}, {"smooth": float("nan")}, {"patience": -0.1}])
def test_impossible_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Largest(**wrong)
