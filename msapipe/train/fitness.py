"""Check that a model can be trained on a data set, before any training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from msapipe.errors import ConfigError
from msapipe.fusion._base import FusionModel, Given
from msapipe.train.data import DataSet
from msapipe.types import Sample

# Largest ratio between the end times of a clip's modalities that still counts as one clock.
CLOCK_SHARE = 2.0


def check_fit(name: str, cls: type[FusionModel], params: Mapping[str, Any], data: DataSet) -> None:
    """Raise ConfigError with the reason when a model with these parameters cannot be trained on the data set."""
    reason = cls.unfit(given_by(data), params)
    if reason:
        raise ConfigError(f"{name} cannot be trained on {data.name}: {reason}")


def given_by(data: DataSet) -> Given:
    """What the training split provides."""
    train = data.split("train")
    low, high = data.scale
    videos = Counter(sample.video for sample in train if sample.video != sample.id)
    return Given(
        clips=len(train),
        labels=frozenset(letter for sample in train for letter in sample.labels),
        videos=videos,
        unaligned=next((sample.id for sample in train if _longer_than_text(sample)), ""),
        same_clock=_same_clock(train),
        low=low,
        high=high,
    )


def _longer_than_text(sample: Sample) -> bool:
    """Whether audio or vision has more steps than the text."""
    text = sample.tokens.shape[1] if sample.tokens is not None else None
    if text is None and "text" in sample.features:
        text = len(sample.features["text"].values)
    others = [len(part.values) for name, part in sample.features.items() if name != "text"]
    return text is not None and max(others, default=0) > text


def _same_clock(samples: Sequence[Sample]) -> bool:
    """Whether modalities end at about the same time in most clips: features without times count steps instead."""
    ends = [[float(part.times[-1, 1]) for part in s.features.values() if len(part.times)] for s in samples]
    alike = [max(each) <= CLOCK_SHARE * min(each) for each in ends if each]
    return sum(alike) * 2 >= len(alike)
