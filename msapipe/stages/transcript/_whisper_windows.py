"""Cuts speech into windows that Whisper hears one by one: in pauses, or where it is quietest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from msapipe.stages._speech import RATE
from msapipe.types import Word

Span = tuple[float, float]

LONGEST = 28.0  # seconds; the network takes 30
PAUSE = 3.0  # seconds without speech that end a window: in long silence Whisper invents words
_PAD = 0.2  # seconds of sound that are heard around speech
_LATE = 0.1  # seconds by which Silero may hear a word late, a soft one above all
_LEAST = 1.0  # seconds that a cut leaves on either side
_QUIET = RATE // 10  # samples over which loudness is measured


@dataclass(frozen=True)
class Window:
    """A stretch of sound and the speech in it, in seconds of the clip; no two windows overlap."""

    start: float
    end: float
    speech: tuple[Span, ...]

    @property
    def spoken(self) -> float:
        """Seconds of speech."""
        return sum(end - start for start, end in self.speech)

    def cut(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Its part of 16 kHz sound."""
        return samples[round(self.start * RATE) : round(self.end * RATE)]


def windows(spans: list[Span], samples: NDArray[np.float32]) -> tuple[list[Window], int]:
    """Windows of at most LONGEST seconds that hold all spans, and how many cuts go through a span.

    A window ends before a pause of PAUSE seconds, and where the next span does not fit in. A span that is too long by
    itself is cut where the 16 kHz sound is quietest in the last two fifths of what fits.
    """
    room = LONGEST - 2 * _PAD
    parts = [part for span in spans for part in _parts(span, samples, room)]
    groups: list[list[Span]] = []
    for part in parts:
        if groups and part[0] - groups[-1][-1][1] < PAUSE and part[1] - groups[-1][0][0] <= room:
            groups[-1].append(part)
        else:
            groups.append([part])
    out: list[Window] = []
    for index, group in enumerate(groups):
        before = groups[index - 1][-1][1] if index else -np.inf
        after = groups[index + 1][0][0] if index + 1 < len(groups) else np.inf
        start = max(0.0, group[0][0] - min(_PAD, (group[0][0] - before) / 2))
        end = min(len(samples) / RATE, group[-1][1] + min(_PAD, (after - group[-1][1]) / 2))
        out.append(Window(float(start), float(end), tuple(group)))
    return out, len(parts) - len(spans)


def _parts(span: Span, samples: NDArray[np.float32], room: float) -> list[Span]:
    start, end = span
    parts: list[Span] = []
    while end - start > room:
        cut = _quietest(samples, start + 0.6 * room, min(start + room, end - _LEAST))
        parts.append((start, cut))
        start = cut
    return [*parts, (start, end)]


def _quietest(samples: NDArray[np.float32], low: float, high: float) -> float:
    """The second between ``low`` and ``high`` around which there is least energy; the first of equals."""
    first, last = round(low * RATE), round(high * RATE)
    total = np.cumsum(np.square(samples[first:last], dtype=np.float64))
    return float(first + _QUIET / 2 + np.argmin(total[_QUIET:] - total[:-_QUIET])) / RATE


def into_speech(words: list[Word], window: Window) -> list[Word]:
    """Words with seconds of the window as words with seconds of the clip, their ends cut to speech.

    Attention tells words apart, but not a word from the silence beside it: the first one begins with the window. A
    word that lies in a pause altogether is left there.
    """
    first, last = window.speech[0][0] - _LATE, window.speech[-1][1] + _LATE
    low, high = max(first, window.start), min(last, window.end)
    out: list[Word] = []
    for word in words:
        start = min(max(window.start + (word.start or 0.0), low), high)
        end = min(max(window.start + (word.end or 0.0), low), high)
        near = [(a, b) for a, b in window.speech if a < end and b > start]
        if near:
            start, end = max(start, near[0][0] - _LATE), min(end, near[-1][1] + _LATE)
        out.append(replace(word, start=round(start, 3), end=round(end, 3)))
    return out
