"""Mean brightness of each frame: the smallest vision stage, to copy from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from msapipe.stages import Stage
from msapipe.types import FeatureSequence, Frames


@dataclass
class Brightness(Stage):
    """Luma of Rec. 709, mean and spread over the picture: float32 (T, 2), in [0, 1].

    floor: darker pictures are not valid.
    """

    floor: float = 0.0

    def run(self, frames: Frames) -> FeatureSequence:
        """Read every sampled picture once."""
        rows, times = [], []
        for batch in frames.batches(8):
            luma = batch.pixels.astype(np.float32) @ np.array([0.2126, 0.7152, 0.0722], np.float32) / 255
            rows.append(np.stack([luma.mean((1, 2)), luma.std((1, 2))], axis=1))
            times.append(batch.times)
        values = np.concatenate(rows) if rows else np.zeros((0, 2), np.float32)
        stamps = np.concatenate(times) if times else np.zeros((0, 2))
        return FeatureSequence.masked(values, stamps, values[:, 0] >= self.floor, ("luma_mean", "luma_spread"))
