"""Finds the orientation of a video that does not declare it: the rotation with the highest face scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

# Frames examined at all four rotations, spread over the video.
LOOKS = 6
# Upright faces score 0.99 and more in nearly all frames of a video; O-Net still accepts two of three sideways faces,
# with 0.8 to 0.98. Chosen on three videos, one of them rotated.
DOUBTFUL, SURE = 0.97, 0.95
# Minimum improvement of the score by a rotation.
BETTER = 0.04


class Spread:
    """At most ``LOOKS`` frames of a video of any length, evenly spaced."""

    def __init__(self) -> None:
        self._kept: list[Picture] = []
        self._every, self._count = 1, 0

    def add(self, picture: Picture) -> None:
        """Add the next frame."""
        if self._count % self._every == 0:
            if len(self._kept) == 2 * LOOKS:
                self._kept, self._every = self._kept[::2], 2 * self._every
            if self._count % self._every == 0:
                self._kept.append(picture)
        self._count += 1

    @property
    def pictures(self) -> list[Picture]:
        """The kept frames."""
        step = max(1, -(-len(self._kept) // LOOKS))
        return self._kept[::step]


def quarter_turns(pictures: Sequence[Picture], surest: Callable[[Picture], float]) -> int:
    """Quarter turns counterclockwise that bring the frames upright; 0 if no other rotation is clearly better.

    surest: the score of the most certain face of a frame, 0 without a face.
    """
    scores = np.array([[surest(turned(picture, quarters)) for quarters in range(4)] for picture in pictures])
    seen = scores.reshape(-1, 4)
    seen = seen[seen.max(axis=1, initial=0) >= SURE]
    if not len(seen):
        return 0
    mean = seen.mean(axis=0)
    best = int(mean.argmax())
    return best if mean[best] - mean[0] >= BETTER else 0


def turned(picture: Picture, quarters: int) -> Picture:
    """The frame rotated counterclockwise."""
    return np.ascontiguousarray(np.rot90(picture, quarters)) if quarters else picture
