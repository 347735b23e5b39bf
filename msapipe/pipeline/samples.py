"""Clips of a data set as samples: their features, with the labels and splits that the data set gave them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msapipe.datasets import Example
from msapipe.pipeline.run import Runner
from msapipe.types import FeatureSequence, Sample


def bare_sample(example: Example, features: Mapping[str, FeatureSequence] | None = None, text: str = "") -> Sample:
    """The sample of a clip, without features unless they are given."""
    return Sample(example.clip.id, features or {}, example.labels, example.split, example.video, text)


def samples_of(examples: Iterable[Example], runner: Runner) -> Iterator[Sample]:
    """One after the other, features from the cache; what is not in it is computed."""
    for example in examples:
        # Looking needs no claim, and no question to a storage service.
        outcome = runner.stored(example.clip) or runner.run(example.clip)
        words = outcome.values.get("transcript")
        yield bare_sample(example, outcome.features, words.text if words is not None else "")
