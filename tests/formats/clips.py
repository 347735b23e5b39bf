"""Clips of any shape, and whether two are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from msapipe.types import FeatureSequence, Sample

WIDTHS = {"text": 3, "audio": 2, "vision": 4}
CHANNELS = {"resnet/18": (0, 3), "au": (3, 4)}


@st.composite
def sequences(draw: st.DrawFn, modality: str, longest: int = 5) -> FeatureSequence:
    """Some steps, some of them not seen; the vision has names and two channels."""
    count, width = draw(st.integers(0, longest)), WIDTHS[modality]
    numbers = st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False)
    values = np.array(draw(st.lists(numbers, min_size=count * width, max_size=count * width)), np.float32)
    values = values.reshape(count, width)
    seen = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool)
    values[~seen] = 0
    edges = np.cumsum(draw(st.lists(st.floats(0, 100), min_size=count + 1, max_size=count + 1)))
    times = np.stack([edges[:-1], edges[1:]], axis=1)
    more: dict[str, Any] = {}
    if modality == "vision":
        more = {"names": tuple(f"c{i} \u65e5" for i in range(width)), "channels": CHANNELS}
    notes = tuple(draw(st.lists(st.text(max_size=5), max_size=1)))
    return FeatureSequence(values, times, seen & values.any(axis=1), **more, notes=notes)


@st.composite
def clips(draw: st.DrawFn, complete: bool = False) -> list[Sample]:
    """Clips of some videos; ``complete``: with a label, a split and all modalities, one at least in each split."""
    splits = ["train", "valid", "test"]
    count = draw(st.integers(3 if complete else 1, 6))
    found = []
    for number in range(count):
        split = splits[number % 3] if complete else draw(st.sampled_from([*splits, None]))
        names = [name for name in WIDTHS if complete or draw(st.booleans())]
        features = {name: draw(sequences(name)) for name in names}
        letters = [letter for letter in "MTAV" if (complete and letter == "M") or draw(st.booleans())]
        labels = {letter: draw(st.floats(-3, 3, allow_subnormal=False)) for letter in letters}
        video = f"v{split}{draw(st.integers(0, 1))}"
        words = draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
        found.append(Sample(f"{video}$_${number} [é].mp4", features, labels, split, video, words))
    return found


def same(one: Sequence[Sample], other: Sequence[Sample], but: frozenset[str] = frozenset()) -> None:
    """Assert that clips are equal in all that a format does not lose."""
    assert [clip.id for clip in one] == [clip.id for clip in other]
    for before, after in zip(one, other, strict=True):
        assert list(before.features) == [name for name in before.features if name in after.features]
        assert set(before.features) == set(after.features)
        for field in {"labels", "split", "video", "text"} - but:
            assert getattr(before, field) == getattr(after, field), field
        if "tokens" not in but:
            assert (before.tokens is None) == (after.tokens is None)
            assert before.tokens is None or np.array_equal(before.tokens, after.tokens)  # type: ignore[arg-type]
        for name, part in before.features.items():
            _same_part(part, after.features[name], but)


def _same_part(before: FeatureSequence, after: FeatureSequence, but: frozenset[str]) -> None:
    assert np.array_equal(before.values, after.values)
    for field in {"times", "valid"} - but:
        assert np.array_equal(getattr(before, field), getattr(after, field)), field
    for field in {"names", "notes"} - but:
        assert getattr(before, field) == getattr(after, field), field
    if "channels" not in but:
        assert dict(before.channels) == dict(after.channels)


def some_clips(count: int = 6) -> list[Sample]:
    """The same clips every time: unequal lengths, a step that was not seen, tokens."""
    random = np.random.default_rng(0)

    def part(steps: int, width: int, **more: Any) -> FeatureSequence:
        values = random.normal(size=(steps, width)).astype(np.float32)
        values[1] = 0
        start = np.arange(steps) / 10
        return FeatureSequence(values, np.stack([start, start + 0.1], 1), values.any(axis=1), **more)

    def clip(i: int) -> Sample:
        vision = part(4 + i, 4, names=("a", "b", "c", "d"), channels=CHANNELS)
        features = {"text": part(3 + i, 3), "audio": part(9, 2), "vision": vision}
        tokens = np.zeros((3, 3 + i), np.int64)
        tokens[0], tokens[1] = 7, 1
        labels = {"M": i / 2 - 1, "T": 0.5}
        return Sample(f"v{i}$_$1", features, labels, ("train", "valid", "test")[i % 3], f"v{i}", f"words {i}", tokens)

    return [clip(i) for i in range(count)]


def bare(samples: Sequence[Sample]) -> list[Sample]:
    """Clips without labels and splits, as ``extract`` writes them."""
    return [replace(sample, labels={}, split=None, tokens=None) for sample in samples]
