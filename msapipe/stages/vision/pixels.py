"""The speaker's face crops, some frames a second, for models that fine-tune their video network."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np

from msapipe.stages._base import Stage
from msapipe.stages.vision._crops import sampled
from msapipe.types import FaceClip, FeatureSequence


@dataclass
class Pixels(Stage):
    """Loose crops of the speaker's face: (T, 3 size size), one row per frame, in [0, 1].

    Columns red_0..., green_0..., blue_0..., each channel row by row from the top left. Crops and frames are those of
    the stage video_swin: the first frame of each 1 / fps seconds, or every frame of a slower clip. A row is valid if
    the frame has a face, and lasts until the next one. BoostingMSA (Hai et al., 2023) uses 128 x 128 pixels, ten a
    second.

    A frame of 112 pixels takes 150 kB, ten seconds 15 MB: training data must fit into memory. Do not average these rows
    over time: a pipeline with this stage says ``align: none``.

    size: side of the crop in pixels, 32 to 512.   fps: frames per second.
    """

    size: int = 112
    fps: float = 10.0

    def __post_init__(self) -> None:
        self.require(32 <= self.size <= 512, f"size must lie in [32, 512] pixels, got {self.size}")
        self.require(isfinite(self.fps) and self.fps > 0, f"fps must be pictures a second, more than 0, got {self.fps}")

    def load(self, device: str) -> None:
        """Name the columns; nothing is read."""
        self._names = tuple(f"{colour}_{i}" for colour in ("red", "green", "blue") for i in range(self.size**2))

    def run(self, face_clip: FaceClip) -> FeatureSequence:
        """The selected frames as (T, 3 size size)."""
        pictures, ends = sampled(face_clip.times, self.fps)
        values = np.zeros((len(pictures), 3, self.size, self.size), np.float32)
        valid = face_clip.valid[pictures]
        for row in np.flatnonzero(valid).tolist():
            values[row] = face_clip.loose(int(pictures[row]), self.size).transpose(2, 0, 1)
        values /= 255
        times = np.stack([face_clip.times[pictures, 0], ends], axis=1)
        return FeatureSequence(values.reshape(len(pictures), len(self._names)), times, valid, self._names)
