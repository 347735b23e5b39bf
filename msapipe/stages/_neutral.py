"""Shift the neutral point of a valence head to 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def centred(valence: NDArray[np.floating], neutral: float) -> NDArray[np.floating]:
    """Valence in [-1, 1], mapped so that ``neutral`` becomes 0: piecewise linear, -1 and 1 stay fixed."""
    away = valence - neutral
    return np.asarray(away / np.where(away > 0, 1 - neutral, 1 + neutral), valence.dtype)
