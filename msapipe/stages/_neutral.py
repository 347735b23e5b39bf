"""The neutral point of a head: what it says of people who feel nothing in particular becomes 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def centred(valence: NDArray[np.floating], neutral: float) -> NDArray[np.floating]:
    """Valence in [-1, 1], shifted so that ``neutral`` becomes 0; both ends stay, and each side is stretched evenly."""
    away = valence - neutral
    return np.asarray(away / np.where(away > 0, 1 - neutral, 1 + neutral), valence.dtype)
