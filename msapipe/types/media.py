"""Decoded frames and sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from msapipe.types._check import array, intervals
from msapipe.types.sound import pieces_of


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Consecutive frames: ``pixels`` uint8 (n, H, W, 3) RGB, ``times`` float64 (n, 2) seconds."""

    pixels: NDArray[np.uint8]
    times: NDArray[np.float64]

    def __post_init__(self) -> None:
        array("pixels", self.pixels, "uint8", (None, None, None, 3))
        intervals("times", self.times, len(self.pixels))

    def __repr__(self) -> str:
        count, height, width, _ = self.pixels.shape
        span = f"{self.times[0, 0]:.2f}-{self.times[-1, 1]:.2f}s" if count else "empty"
        return f"FrameBatch({count} of {width}x{height}, {span})"


class Frames:
    """A lazy handle on a clip's frames, not an array: a minute of 1080p is 9 GB.

    ``batches`` decodes from the start on every call. All frames of a clip have the same size. Times come from the
    presentation time stamps of the file; a frame ends where the next one starts.
    """

    def __init__(self, read: Callable[[], Iterator[tuple[NDArray[np.uint8], float, float]]]) -> None:
        """``read`` yields (uint8 (H, W, 3) RGB, start, end) in order of time; seconds from the clip's start."""
        self._read = read
        self.notes: list[str] = []

    def turned(self, quarters: int) -> Frames:
        """The same frames, each rotated counterclockwise by ``quarters`` times 90 degrees; shares the notes."""

        def read() -> Iterator[tuple[NDArray[np.uint8], float, float]]:
            for picture, start, end in self._read():
                yield np.ascontiguousarray(np.rot90(picture, quarters)), start, end

        other = Frames(read)
        other.notes = self.notes
        return other

    def batches(self, n: int) -> Iterator[FrameBatch]:
        """Yield batches of at most ``n`` frames; a damaged file ends early and adds to ``notes``."""
        pixels: list[NDArray[np.uint8]] = []
        times: list[tuple[float, float]] = []
        for picture, start, end in self._read():
            pixels.append(picture)
            times.append((start, end))
            if len(pixels) == n:
                yield _batch(pixels, times)
                pixels, times = [], []
        if pixels:
            yield _batch(pixels, times)


def _batch(pixels: list[NDArray[np.uint8]], times: list[tuple[float, float]]) -> FrameBatch:
    # A single frame is not copied: copying 1080p costs more than decoding it.
    return FrameBatch(pixels[0][None] if len(pixels) == 1 else np.stack(pixels), np.array(times))


@dataclass(frozen=True, eq=False)
class Waveform:
    """Mono sound: ``samples`` float32 (N,) in [-1, 1] at ``rate`` Hz; sample 0 is the start of the clip.

    A long clip's samples lie in a memory-mapped file; ``pieces_of`` iterates over them without holding them in memory.
    """

    samples: NDArray[np.float32]
    rate: int
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        array("samples", self.samples, "float32", (None,))
        if not all(np.isfinite(piece).all() for piece in pieces_of(self.samples)):
            raise ValueError("samples hold NaN or infinity")

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate

    def __repr__(self) -> str:
        return f"Waveform({self.seconds:.2f}s at {self.rate} Hz)"
