"""The features and human labels of one clip, for training and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from msapipe.types.features import FeatureSequence


@dataclass(frozen=True, eq=False)
class Sample:
    """One clip of a data set, after extraction.

    features: by modality ("text", "audio", "vision"); a missing modality is left out.
    labels: "M" and, if the modalities have labels of their own, "T", "A", "V"; missing labels are left out.
    split: train, valid or test, or None.   video: the source video; clips of one video must be in the same split.
    text: the words, "" if unknown.
    tokens: int64 (3, L), word-piece ids, attention mask and segment ids for language models; or None.
    """

    id: str
    features: Mapping[str, FeatureSequence]
    labels: Mapping[str, float] = field(default_factory=dict)
    split: str | None = None
    video: str = ""
    text: str = ""
    tokens: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.split not in (None, "train", "valid", "test"):
            raise ValueError(f"clip {self.id}: split {self.split!r}; expected train, valid or test")
        if not self.video:
            object.__setattr__(self, "video", self.id)
