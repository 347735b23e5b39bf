"""Clips of a data set as samples: their features with the data set's labels and splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msapipe.datasets import Example
from msapipe.pipeline.run import Runner
from msapipe.types import FeatureSequence, Sample


def bare_sample(example: Example, features: Mapping[str, FeatureSequence] | None = None, text: str = "") -> Sample:
    """The sample of a clip, by default without features."""
    return Sample(example.clip.id, features or {}, example.labels, example.split, example.video, text)


def samples_of(examples: Iterable[Example], runner: Runner) -> Iterator[Sample]:
    """Yield one sample per clip; features come from the cache or are computed."""
    for example in examples:
        # A lookup needs no claim, and no request to a storage service.
        outcome = runner.stored(example.clip) or runner.run(example.clip)
        words = outcome.values.get("transcript")
        yield bare_sample(example, outcome.features, words.text if words is not None else "")
