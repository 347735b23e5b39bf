"""Which way up a film is that says nothing of it: the turn in which its faces are surest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

# So many pictures are looked at in all four turns, spread over the film.
LOOKS = 6
# Upright faces have scores of 0.99 and more in nearly all pictures of a film; of faces on their side O-Net still takes
# two of three for faces, with 0.8 to 0.98. Set by looking at three films, one of them turned.
DOUBTFUL, SURE = 0.97, 0.95
# A turn must be better by so much.
BETTER = 0.04


class Spread:
    """At most ``LOOKS`` pictures of a film of any length, at equal distances."""

    def __init__(self) -> None:
        self._kept: list[Picture] = []
        self._every, self._count = 1, 0

    def add(self, picture: Picture) -> None:
        """The next picture."""
        if self._count % self._every == 0:
            if len(self._kept) == 2 * LOOKS:
                self._kept, self._every = self._kept[::2], 2 * self._every
            if self._count % self._every == 0:
                self._kept.append(picture)
        self._count += 1

    @property
    def pictures(self) -> list[Picture]:
        """Those that were kept."""
        step = max(1, -(-len(self._kept) // LOOKS))
        return self._kept[::step]


def quarter_turns(pictures: Sequence[Picture], surest: Callable[[Picture], float]) -> int:
    """How many quarter turns counterclockwise bring the pictures upright; 0 where no other is clearly better.

    surest: the score of the surest face of a picture, 0 for none.
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
    """A picture turned counterclockwise."""
    return np.ascontiguousarray(np.rot90(picture, quarters)) if quarters else picture
