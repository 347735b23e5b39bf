"""Long clips are cut by time: nothing is lost, nothing counts twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msapipe.pipeline.spec import load_spec
from msapipe.pipeline.windows import LONG, cut, length_of, mean, weights_of, why_whole, windows_of
from msapipe.types import FeatureSequence

SECONDS = st.floats(0, 4000, allow_nan=False)


def sequence(seed: int, seconds: float, rows: int, name: str = "a") -> FeatureSequence:
    """Rows that overlap, of any length, some of them invalid."""
    random = np.random.default_rng(seed)
    starts = np.sort(random.uniform(0, seconds, rows))
    times = np.stack([starts, starts + random.uniform(0, 8, rows)], axis=1)
    values = random.normal(size=(rows, 2)).astype(np.float32)
    return FeatureSequence.masked(values, times, random.random(rows) < 0.5, (f"{name}0", f"{name}1"))


@given(SECONDS)
def test_windows_cover_a_clip_without_gap_or_overlap(seconds: float) -> None:
    windows = windows_of(seconds)
    assert windows[0, 0] == 0
    assert windows[-1, 1] == seconds
    assert np.array_equal(windows[1:, 0], windows[:-1, 1])
    if seconds <= LONG:
        assert len(windows) == 1
    else:
        lengths = windows[:, 1] - windows[:, 0]
        assert np.all(lengths[:-1] == 30)
        assert 10 <= lengths[-1] < 40


@pytest.mark.parametrize(
    ("seconds", "starts"), [(60, [0]), (60.1, [0, 30]), (69.9, [0, 30]), (70, [0, 30, 60]), (1800, range(0, 1800, 30))]
)
def test_where_a_clip_is_cut(seconds: float, starts: list[int]) -> None:
    assert windows_of(seconds)[:, 0].tolist() == list(starts)


@given(SECONDS, st.floats(1, 100))
def test_windows_of_a_length_that_was_asked_for(seconds: float, length: float) -> None:
    windows = windows_of(seconds, length)
    assert (windows[0, 0], windows[-1, 1]) == (0, seconds)
    assert np.array_equal(windows[1:, 0], windows[:-1, 1])
    lengths = windows[:, 1] - windows[:, 0]
    assert np.allclose(lengths[:-1], length)
    assert lengths[-1] <= length * 4 / 3 + 1e-6
    assert len(windows) == 1 or lengths[-1] >= length / 3 - 1e-6


@given(st.integers(0, 10**6), st.floats(1, 600), st.integers(0, 200), st.integers(1, 50))
def test_every_valid_row_is_in_one_window_and_a_long_one_in_those_that_it_covers(
    seed: int, seconds: float, one: int, other: int
) -> None:
    features = {"text": sequence(seed, seconds, one), "vision": sequence(seed + 1, seconds, other)}
    windows = windows_of(length_of(features))
    parts = cut(features, windows)
    assert list(parts) == sorted(parts)
    for name, whole in features.items():
        times = []
        for number, part in parts.items():
            left, right = windows[number]
            assert (part[name].names, part[name].channels) == (whole.names, whole.channels)
            start, end = part[name].times.T
            inside = (start + end) / 2
            half = np.minimum(end, right) - np.maximum(start, left) >= (right - left) / 2
            assert np.all(((inside >= left) & (inside <= right)) | (half & (end - start >= right - left)))
            times += part[name].times[part[name].valid].tolist()
        expected = whole.times[whole.valid].tolist()
        assert {*map(tuple, times)} == {*map(tuple, expected)}
        shortest = (windows[:, 1] - windows[:, 0]).min()
        short = [pair for pair in times if pair[1] - pair[0] < shortest]
        assert sorted(short) == sorted(pair for pair in expected if pair[1] - pair[0] < shortest)
    assert all(any(part.valid.any() for part in clip.values()) for clip in parts.values())


def test_what_was_heard_over_the_whole_clip_is_in_every_window() -> None:
    heard = FeatureSequence(np.ones((1, 2), np.float32), np.array([[0.0, 5.0]]), np.ones(1, bool), ("a", "b"))
    said = FeatureSequence(np.ones((1, 2), np.float32), np.array([[1.5, 2.4]]), np.ones(1, bool), ("a", "b"))
    parts = cut({"audio": heard, "text": said}, windows_of(5.0, 2.0))
    assert [(number, len(part["audio"].values), len(part["text"].values)) for number, part in parts.items()] == [
        (0, 1, 1),
        (1, 1, 0),
        (2, 1, 0),
    ]


def test_a_window_weighs_by_its_words_and_its_time() -> None:
    windows = np.array([[0.0, 30.0], [30.0, 60.0], [60.0, 99.0]])
    spoken, seen, silent = sequence(0, 1, 40), sequence(1, 1, 9), sequence(2, 1, 0)
    clips = [{"text": spoken, "vision": seen}, {"text": silent, "vision": seen}, {"text": silent, "vision": seen}]
    assert weights_of(clips, windows).tolist() == [spoken.valid.sum() + 10, 10, 13]
    assert weights_of(clips, windows, without="text").tolist() == [10, 10, 13]
    assert weights_of(clips, windows, without="vision").tolist() == [spoken.valid.sum() + 10, 0, 0]


@given(st.floats(-3, 3), st.floats(0.01, 1e6))
def test_the_mean_of_one_window_is_its_value(value: float, weight: float) -> None:
    assert float(mean(np.array([value]), np.array([weight]))) == value


def test_the_mean_of_bounds_is_a_bound_each() -> None:
    bounds = np.array([[-1.0, 1.0], [0.0, 3.0]])
    assert mean(bounds, np.array([1.0, 3.0])).tolist() == [-0.25, 2.5]


def test_only_rows_with_times_of_their_own_can_be_cut() -> None:
    pocket = load_spec("pocket")
    assert why_whole(replace(pocket, align=None)) == ""
    assert why_whole(replace(pocket, align="words")) == ""
    assert why_whole(replace(pocket, align=32)) == "32 steps"
    assert why_whole(load_spec("hma")) == "the tokens"
    assert why_whole(replace(load_spec("hma"), align=None)) == "the tokens"
