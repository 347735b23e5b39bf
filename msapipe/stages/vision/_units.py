"""The 17 facial action units: their order, their columns, and what a backend says of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from msapipe.types import FaceClip

Floats = NDArray[np.float32]

# In the order of OpenFace 2.0; 45 is a blink.
UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)

INTENSITIES = tuple(f"AU{unit:02}_r" for unit in UNITS)
PRESENCES = tuple(f"AU{unit:02}_c" for unit in UNITS)

# What ``validity`` says of a column.
GIVEN, DERIVED, LACKING = 1.0, 0.5, 0.0


class Backend(Protocol):
    """What measures action units.

    validity: float32 (34,), of every column ``GIVEN``, ``DERIVED`` or ``LACKING``.
    about: what a user should know of its numbers beside that.
    """

    validity: Floats
    about: tuple[str, ...]

    def measure(self, clip: FaceClip) -> tuple[NDArray[np.bool_], Floats]:
        """Which rows it could read, bool (T,), and their columns, float32 (T, 34); derived presences are filled later.

        Intensities lie in [0, 1], presences are 0 or 1.
        """
        ...


def validity(intensities: Collection[int], presences: Collection[int]) -> Floats:
    """Of every column whether a backend gives it, (34,); the presence of a unit with an intensity can be derived."""
    given_r = [GIVEN if unit in intensities else LACKING for unit in UNITS]
    given_c = [GIVEN if u in presences else DERIVED if u in intensities else LACKING for u in UNITS]
    return np.array(given_r + given_c, np.float32)
