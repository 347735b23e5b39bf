"""Cuts sound into windows and finds the speech in them, for the stage ``prosody`` and its training."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from msapipe.stages._speech import RATE, SpeechDetector
from msapipe.stages.audio._prosody_statistics import statistics
from msapipe.types.sound import peak_of

SILENCE = 1e-4  # peak below which sound is silence: three steps of 16 bits
LEAST_SPEECH = 0.2  # least seconds of speech in a valid window
_PEAK = 0.9  # peak level before speech detection, so that loudness does not matter

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SpeechWindow:
    """A window from ``start`` to ``end`` seconds of the sound; ``spans`` of speech count from the window's start."""

    start: float
    end: float
    samples: Floats
    spans: tuple[tuple[float, float], ...]

    @property
    def speech(self) -> float:
        """Seconds of speech."""
        return sum(end - start for start, end in self.spans)

    @property
    def has_speech(self) -> bool:
        """Whether there is enough speech for statistics."""
        return self.speech >= LEAST_SPEECH

    def statistics(self) -> NDArray[np.float64]:
        """The statistics of its speech: (D,)."""
        return statistics(self.samples, self.spans)


def speech_windows(samples: Floats, detector: SpeechDetector, seconds: float) -> list[SpeechWindow]:
    """Cut 16 kHz sound into equal windows of about ``seconds``: one window up to 1.5 times that, none without sound."""
    if not len(samples):
        return []
    peak = peak_of(samples)
    spans = detector.spans(samples, gain=_PEAK / peak) if peak >= SILENCE else []
    total = len(samples) / RATE
    count = max(1, int(np.ceil(total / seconds - 0.5)))
    edges = np.round(np.linspace(0, len(samples), count + 1)).astype(int)
    return [_cut(samples, spans, int(first), int(last)) for first, last in pairwise(edges)]


def _cut(samples: Floats, spans: list[tuple[float, float]], first: int, last: int) -> SpeechWindow:
    start, end = first / RATE, last / RATE
    inside = [(max(a, start) - start, min(b, end) - start) for a, b in spans if a < end and b > start]
    return SpeechWindow(start, end, samples[first:last], tuple(inside))
