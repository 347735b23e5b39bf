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
    """The waveform at 16 kHz in rows of 20 ms: (T, 320); the concatenated rows are the sound, in [-1, 1].

    Columns sample_0...sample_319. The last row is zero-padded and lasts to the end of the sound. All rows are valid,
    pauses too, since a speech network processes them. If the whole sound is zero, no row is valid; without sound there
    are no rows.

    Do not average these rows over time: a pipeline with this stage says ``align: none``.
    """

    def load(self, device: str) -> None:
        """Name the columns; nothing is read."""
        self._names = tuple(f"sample_{i}" for i in range(ROW))

    def run(self, waveform: Waveform) -> FeatureSequence:
        """Sound of any length and sampling rate to (T, 320)."""
        samples = at_16k(waveform)
        count = -(-len(samples) // ROW)
        values = np.zeros((count, ROW), np.float32)
        values.ravel()[: len(samples)] = samples
        starts = np.arange(count) * (ROW / RATE)
        times = np.stack([starts, np.append(starts[1:], waveform.seconds)[:count]], axis=1)
        return FeatureSequence(values, times, np.full(count, values.any()), self._names)
