from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from msapipe.align import align_channels, concatenate, resample, uniform_grid, word_grid
from msapipe.pipeline.spec import parse_spec
from msapipe.types import FeatureSequence, Transcript, Word


def sequence(values: list[float], valid: list[bool] | None = None, step: float = 1.0) -> FeatureSequence:
    times = np.array([[i * step, (i + 1) * step] for i in range(len(values))]).reshape(-1, 2)
    seen = np.array(valid if valid is not None else [True] * len(values), bool)
    return FeatureSequence.masked(np.array(values, np.float32).reshape(-1, 1), times, seen)


def test_cells_are_means_weighted_by_overlap_and_gaps_are_marked() -> None:
    out = resample(sequence([1, 3, 9], [True, True, False]), np.array([[0, 2], [0.5, 1.25], [2, 3], [7, 8.0]]))
    assert np.allclose(out.values[:, 0], [2, (0.5 * 1 + 0.25 * 3) / 0.75, 0, 0])
    assert out.valid.tolist() == [True, True, False, False]


def test_an_instant_takes_the_row_that_it_lies_in() -> None:
    out = resample(sequence([1, 3]), np.array([[1.0, 1.0]]))
    assert out.values[0, 0] == 3
    assert out.valid.all()


def test_a_long_row_reaches_far_forward() -> None:
    long = FeatureSequence(np.float32([[5], [1]]), np.array([[0, 10], [1, 2.0]]), np.ones(2, bool))
    assert resample(long, np.array([[8, 9.0]])).values[0, 0] == 5


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30), st.integers(1, 40))
def test_uniform_resampling_keeps_the_mean_and_the_range(values: list[float], steps: int) -> None:
    source = sequence(values)
    out = resample(source, uniform_grid(steps, len(values)))
    assert out.valid.all()
    assert np.isclose(out.values.mean(), np.mean(values), atol=1e-3)
    assert out.values.min() >= min(values) - 1e-3
    assert out.values.max() <= max(values) + 1e-3


def test_channels_stand_side_by_side_with_their_boundaries() -> None:
    both = concatenate({"a": sequence([1, 2]), "b": sequence([10, 10, 30, 30], [True, True, False, False], 0.5)})
    assert both.values.tolist() == [[1, 10], [2, 0]]
    assert dict(both.channels) == {"a": (0, 1), "b": (1, 2)}
    assert both.names == ("a.0", "b.0")
    assert both.valid.all()


def test_words_become_cells_in_order() -> None:
    words = Transcript((Word("b", 1.0, 2.0), Word("a", 0.0, 1.0), Word("c")))
    assert word_grid(words).tolist() == [[0.0, 1.0], [1.0, 2.0]]


def test_longer_sequences_are_thinned_at_even_spacing_and_shorter_ones_stay() -> None:
    out = align_channels(
        {"audio": {"x": sequence(list(range(101)))}, "vision": {"y": sequence([7, 8])}}, None, "thin 5"
    )
    assert out["audio"].values[:, 0].tolist() == [0, 25, 50, 75, 100]
    assert out["audio"].times[1].tolist() == [25, 26]
    assert out["vision"].values[:, 0].tolist() == [7, 8]
    assert (
        parse_spec(
            "schema: 1\nstages: {text: {use: lexicon}, words: spread, transcript: sidecar}\nalign: {thin: 5}", "t"
        ).align
        == "thin 5"
    )
