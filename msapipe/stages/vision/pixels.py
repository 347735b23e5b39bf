"""The speaker's face itself, some pictures a second, for models that fine-tune their video network."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np

from msapipe.errors import ConfigError
from msapipe.stages._base import Stage
from msapipe.stages.vision._crops import sampled
from msapipe.types import FaceClip, FeatureSequence


@dataclass
class Pixels(Stage):
    """Loose crops of the speaker's face: (T, 3 size size), a row a picture, in [0, 1].

    Columns red_0..., green_0..., blue_0..., each colour line by line from the top left. Crops, and which pictures are
    taken, are those of the stage video_swin: of each 1 / fps seconds the first one, of a slower clip every one. A row
    is valid where the picture has a face, and stands for the time up to the next one that is taken. BoostingMSA (Hai
    et al., 2023) has 128 x 128 pixels, ten a second.

    A picture of 112 pixels takes 150 kB, ten seconds of them 15 MB: what is trained on them must fit into memory.
    These are no features to be averaged over time: a pipeline with this stage says ``align: none``.

    size: side of the crop in pixels, 32 to 512.   fps: pictures a second.
    """

    size: int = 112
    fps: float = 10.0

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 512:
            raise ConfigError(f"pixels: size must lie in [32, 512] pixels, got {self.size}")
        if not (isfinite(self.fps) and self.fps > 0):
            raise ConfigError(f"pixels: fps must be pictures a second, more than 0, got {self.fps}")

    def load(self, device: str) -> None:
        """Nothing is read; the columns are named once."""
        self._names = tuple(f"{colour}_{i}" for colour in ("red", "green", "blue") for i in range(self.size**2))

    def run(self, face_clip: FaceClip) -> FeatureSequence:
        """The pictures that are taken to (T, 3 size size)."""
        pictures, ends = sampled(face_clip.times, self.fps)
        values = np.zeros((len(pictures), 3, self.size, self.size), np.float32)
        valid = face_clip.valid[pictures]
        for row in np.flatnonzero(valid).tolist():
            values[row] = face_clip.loose(int(pictures[row]), self.size).transpose(2, 0, 1)
        values /= 255
        times = np.stack([face_clip.times[pictures, 0], ends], axis=1)
        return FeatureSequence(values.reshape(len(pictures), len(self._names)), times, valid, self._names)
