"""Choose the main sound among several tracks, and among the channels of a track."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.types.sound import peak_of, pieces_of

# Sound is audible in windows of this many seconds whose level exceeds HEARD.
WINDOW = 0.1
HEARD = 10 ** (-55 / 20)
# A track with fewer audible seconds is silent except for a click.
ENOUGH = 0.3


@dataclass(frozen=True)
class Track:
    """A sound track: stream index, declared facts, and its kind if it is not the main sound."""

    index: int
    said: str
    beside: str | None


@dataclass(frozen=True, eq=False)
class Heard:
    """The sound of one track before scaling: float32 (N,), notes, and the facts for choosing.

    cancels: whether the channels cancel each other in their mean.   loudest: the channel with the most power.
    """

    samples: NDArray[np.float32]
    notes: list[str]
    tracks: tuple[Track, ...] = ()
    cancels: bool = False
    loudest: int = 0

    @classmethod
    def of(cls, samples: NDArray[np.float32], header: dict[str, Any]) -> Heard:
        """Build it from the child's last message; ValueError, TypeError or KeyError if it is malformed."""
        tracks = tuple(
            Track(int(index), str(said), None if beside is None else str(beside))
            for index, said, beside in header["tracks"]
        )
        notes = [str(note) for note in header["notes"]]
        return cls(samples, notes, tracks, bool(header["cancels"]), int(header["loudest"]))


def choose(read: Callable[[int, int | None], Heard], rate: int) -> Heard:
    """The first audible track, else the one with the most sound. Notes say which one, and why.

    read: returns the sound of a track, by its index, of one channel or (None) the mean of all.
    """
    first = _one(read, 0)
    tried = [(first, loud_seconds(first.samples, rate))]
    while tried[-1][1] < ENOUGH and len(tried) < len(first.tracks):
        other = _one(read, len(tried))
        tried.append((other, loud_seconds(other.samples, rate)))
    place = max(range(len(tried)), key=lambda at: (tried[at][1], peak_of(tried[at][0].samples), -at))
    chosen = tried[place][0]
    if len(first.tracks) > 1:
        silent = [first.tracks[at].index for at in range(place)]
        chosen.notes.insert(0, _said(first.tracks, first.tracks[place], silent))
    return chosen


def loud_seconds(samples: NDArray[np.float32], rate: int) -> float:
    """How many seconds are audible."""
    size = max(1, round(WINDOW * rate))
    heard = 0
    for piece in pieces_of(samples[: len(samples) // size * size], 600 * size):
        windows = piece.reshape(-1, size)
        level = np.sqrt(np.einsum("wn,wn->w", windows, windows) / size)
        heard += int((level > HEARD).sum())
    return heard * WINDOW


def _one(read: Callable[[int, int | None], Heard], track: int) -> Heard:
    """A track by the mean of its channels, or by one channel if they cancel each other."""
    mean = read(track, None)
    if not mean.cancels:
        return mean
    alone = read(track, mean.loudest)
    alone.notes.insert(
        0,
        "The channels of the sound cancel each other out when they are mixed (one is the other upside down); "
        f"channel {mean.loudest + 1} alone is read.",
    )
    return alone


def _said(tracks: tuple[Track, ...], taken: Track, silent: list[int]) -> str:
    why = [f"stream {', '.join(map(str, silent))} is silent"] if silent else []
    why += [taken.said] if taken.said and not silent else []
    why += [f"stream {other.index} is {other.beside}" for other in tracks if other.beside and other is not taken]
    why += [f"it is {taken.beside}"] if taken.beside else []
    return f"{len(tracks)} sound streams; stream {taken.index} is read ({'; '.join(why) or 'the first'})."
