"""Scores of clips as plain arrays, a common interface of models with and without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from msapipe.types import FeatureSequence

Doubles = NDArray[np.float64]

# Standardised columns are clipped to this many standard deviations, so that an outlier cannot dominate a score.
LIMIT = 20.0


@dataclass(frozen=True, eq=False)
class Scores:
    """For N clips: score (N,) and interval (N, 2), on the model's scale; unimodal: modality to (N,)."""

    score: Doubles
    interval: Doubles | None
    unimodal: dict[str, Doubles]

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """Concatenate several Scores."""
        bounds = [part.interval for part in parts if part.interval is not None]
        return cls(
            np.concatenate([part.score for part in parts]),
            np.concatenate(bounds) if bounds else None,
            {name: np.concatenate([part.unimodal[name] for part in parts]) for name in parts[0].unimodal},
        )

    def within(self, low: float, high: float) -> Scores:
        """Clip scores and bounds to the scale."""
        interval = None if self.interval is None else self.interval.clip(low, high)
        return Scores(self.score.clip(low, high), interval, self.unimodal)


class Scorer(Protocol):
    """Scores clips, optionally with one modality switched off.

    by_video: each call gets the clips of one video.
    """

    by_video: bool

    def __call__(self, clips: Sequence[Mapping[str, FeatureSequence]], without: str | None = None) -> Scores:
        """Score each clip."""
