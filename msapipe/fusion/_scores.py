"""What a fusion model says of clips, as plain arrays: models in torch and those that need none are asked alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from msapipe.types import FeatureSequence

Doubles = NDArray[np.float64]

# Standardised columns stay within this many deviations: a wild value of one clip must not rule its score.
LIMIT = 20.0


@dataclass(frozen=True, eq=False)
class Scores:
    """Of N clips: score (N,) and interval (N, 2), on the model's scale; unimodal: modality to (N,)."""

    score: Doubles
    interval: Doubles | None
    unimodal: dict[str, Doubles]

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """Several, one behind the other."""
        bounds = [part.interval for part in parts if part.interval is not None]
        return cls(
            np.concatenate([part.score for part in parts]),
            np.concatenate(bounds) if bounds else None,
            {name: np.concatenate([part.unimodal[name] for part in parts]) for name in parts[0].unimodal},
        )

    def within(self, low: float, high: float) -> Scores:
        """The same with scores and bounds between the ends of the scale."""
        interval = None if self.interval is None else self.interval.clip(low, high)
        return Scores(self.score.clip(low, high), interval, self.unimodal)


class Scorer(Protocol):
    """Asked for the scores of clips, with one modality switched off or none.

    by_video: the clips that it is given at a time are those of one video.
    """

    by_video: bool

    def __call__(self, clips: Sequence[Mapping[str, FeatureSequence]], without: str | None = None) -> Scores:
        """What it says of each clip."""
