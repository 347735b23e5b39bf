"""The 17 facial action units: their order, their columns, and the interface of a backend."""

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

# Values of ``validity``.
GIVEN, DERIVED, LACKING = 1.0, 0.5, 0.0


class Backend(Protocol):
    """Measures action units.

    validity: float32 (34,), for every column ``GIVEN``, ``DERIVED`` or ``LACKING``.
    about: further remarks for the user on its values.
    """

    validity: Floats
    about: tuple[str, ...]

    def measure(self, clip: FaceClip) -> tuple[NDArray[np.bool_], Floats]:
        """Valid rows, bool (T,), and their columns, float32 (T, 34); derived presences are filled in later.

        Intensities lie in [0, 1], presences are 0 or 1.
        """
        ...


def validity(intensities: Collection[int], presences: Collection[int]) -> Floats:
    """Validity of the columns, (34,); the presence of a unit with an intensity can be derived."""
    given_r = [GIVEN if unit in intensities else LACKING for unit in UNITS]
    given_c = [GIVEN if u in presences else DERIVED if u in intensities else LACKING for u in UNITS]
    return np.array(given_r + given_c, np.float32)
