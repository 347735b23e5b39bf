"""How far a clip is, by step and by the second up to which it has read pictures; and a bar for lists of clips."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from msapipe.types import Clip, Frames, MediaInfo

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """The progress of a clip.

    step: its name ("faces/mtcnn").   number, steps: how many steps come before it, and how many there are at most.
    reached: seconds of the clip whose pictures this step has read, None for a step that reads none.
    length: the clip's length in seconds as its file declares it, which may be wrong; None when unknown.
    """

    step: str
    number: int
    steps: int
    reached: float | None = None
    length: float | None = None

    @property
    def share(self) -> float | None:
        """Share of the clip that this step has read, in [0, 1]; None when unknown."""
        if self.reached is None or not self.length:
            return None
        return min(max(self.reached / self.length, 0.0), 1.0)


Listener = Callable[[Progress], None]
"""Called often (with every picture) and from the thread that computes: it should be quick, and may raise to stop."""


class Follower:
    """Reports the progress of a clip to a listener, if there is one."""

    def __init__(self, listener: Listener | None, clip: Clip, steps: list[str]) -> None:
        self._listener, self._clip, self._steps = listener, clip, steps
        self._length: float | None = None
        self._step = ""

    def begin(self, step: str, media: MediaInfo | None) -> None:
        """Report that a step is being computed.   media: what is known of the file by now."""
        self._step = step
        if media is not None and media.seconds is not None:
            end = media.seconds if self._clip.end is None else min(self._clip.end, media.seconds)
            self._length = max(end - self._clip.start, 0.0) or None
        self._tell(None)

    def over(self, frames: Frames) -> Frames:
        """The same pictures; each read is reported."""
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


def with_bar(items: Iterable[T], wanted: bool | None = None, total: int | None = None) -> Iterator[T]:
    """Yield the items, with a progress bar on standard error.

    wanted: None shows the bar when somebody watches: more than one item, and a terminal or a notebook.   total: the
    number of items, where it cannot be taken from ``items``.
    """
    total = len(items) if isinstance(items, Sized) else total
    if wanted is None:
        wanted = total is not None and total > 1 and _watched()
    if not wanted:
        yield from items
        return
    # The plain bar: the widget bar needs another package, and warns without it.
    from tqdm.std import tqdm

    with tqdm(items, total=total, unit="clip", file=sys.stderr, dynamic_ncols=True) as bar:
        yield from bar


def _watched() -> bool:
    """Whether a person reads standard error. A notebook counts, although it is no terminal."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()
