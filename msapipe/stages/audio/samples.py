"""The sound itself, 50 rows a second, for models that fine-tune their speech network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from msapipe.stages._base import Stage
from msapipe.stages._speech import RATE, at_16k
from msapipe.types import FeatureSequence, Waveform

ROW = 320  # samples of a row: 20 ms, one step of HuBERT and wav2vec 2.0


@dataclass
class Samples(Stage):
    """The waveform at 16 kHz cut in rows of 20 ms: (T, 320), one behind the other the sound as it was, in [-1, 1].

    Columns sample_0...sample_319. The last row is filled up with zeros and stands for the time up to the end of the
    sound. All rows are valid, pauses too: a speech network hears them. In sound that is zero throughout none is, and
    without sound there is no row.

    These are no features to be averaged over time: a pipeline with this stage says ``align: none``.
    """

    def load(self, device: str) -> None:
        """Nothing is read; the columns are named once."""
        self._names = tuple(f"sample_{i}" for i in range(ROW))

    def run(self, waveform: Waveform) -> FeatureSequence:
        """Sound of any length and rate to (T, 320)."""
        samples = at_16k(waveform)
        count = -(-len(samples) // ROW)
        values = np.zeros((count, ROW), np.float32)
        values.ravel()[: len(samples)] = samples
        starts = np.arange(count) * (ROW / RATE)
        times = np.stack([starts, np.append(starts[1:], waveform.seconds)[:count]], axis=1)
        return FeatureSequence(values, times, np.full(count, values.any()), self._names)
