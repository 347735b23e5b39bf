"""The features of one clip with what people said of it: what models are trained and measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from msapipe.types.features import FeatureSequence


@dataclass(frozen=True, eq=False)
class Sample:
    """One clip of a data set, after extraction.

    features: "text", "audio", "vision" to what was found; a modality that is missing is left out.
    labels: "M" and, where modalities were labelled apart, "T", "A", "V"; a label that nobody gave is left out.
    split: train, valid or test; None when there is none.   video: what it was cut from; clips of one video must not
    be on both sides of a split.   text: the words, "" when not known.
    tokens: int64 (3, L), word-piece ids, mask and segments for models that run a language model; None without.
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
