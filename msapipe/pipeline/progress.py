"""How far a clip is: which step runs, and up to which second its pictures are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msapipe.types import Clip, Frames, MediaInfo


@dataclass(frozen=True)
class Progress:
    """What is being done about a clip.

    step: its name ("faces/mtcnn").   number, steps: how many steps come before it, and how many there are at most.
    reached: seconds of the clip whose pictures this step has read, None for a step that reads none.
    length: the length of the clip in seconds as its file declares it, which may be wrong; None when not known.
    """

    step: str
    number: int
    steps: int
    reached: float | None = None
    length: float | None = None

    @property
    def share(self) -> float | None:
        """Share of the clip that this step has read, in [0, 1]; None when not known."""
        if self.reached is None or not self.length:
            return None
        return min(max(self.reached / self.length, 0.0), 1.0)


Listener = Callable[[Progress], None]
"""Called often (with every picture) and from the thread that computes: it should be quick, and may raise to stop."""


class Follower:
    """Tells a listener, or nobody, how far the steps of a clip are."""

    def __init__(self, listener: Listener | None, clip: Clip, steps: list[str]) -> None:
        self._listener, self._clip, self._steps = listener, clip, steps
        self._length: float | None = None
        self._step = ""

    def begin(self, step: str, media: MediaInfo | None) -> None:
        """A step is being computed; media: what is known of the file by now."""
        self._step = step
        if media is not None and media.seconds is not None:
            end = media.seconds if self._clip.end is None else min(self._clip.end, media.seconds)
            self._length = max(end - self._clip.start, 0.0) or None
        self._tell(None)

    def over(self, frames: Frames) -> Frames:
        """The same pictures; each one that is read is told."""
        if self._listener is None:
            return frames

        def read() -> Iterator[tuple[NDArray[np.uint8], float, float]]:
            for batch in frames.batches(1):
                yield batch.pixels[0], float(batch.times[0, 0]), float(batch.times[0, 1])
                self._tell(float(batch.times[0, 1]))

        told = Frames(read)
        told.notes = frames.notes
        return told

    def _tell(self, reached: float | None) -> None:
        if self._listener is not None:
            number = self._steps.index(self._step) if self._step in self._steps else 0
            self._listener(Progress(self._step, number, len(self._steps), reached, self._length))
