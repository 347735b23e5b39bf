"""Checks that the array types share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def array(name: str, value: NDArray[Any], dtype: str, shape: tuple[int | None, ...]) -> None:
    """Raise ValueError unless ``value`` has this dtype and shape; ``None`` stands for any length."""
    want = "(" + ", ".join("*" if n is None else str(n) for n in shape) + ")"
    fits = value.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, value.shape, strict=True))
    if value.dtype != np.dtype(dtype) or not fits:
        raise ValueError(f"{name} must be {dtype} {want}, got {value.dtype} {value.shape}")


def intervals(name: str, times: NDArray[np.float64], rows: int) -> None:
    """Raise ValueError unless ``times`` is float64 (rows, 2), finite, ordered, and no end precedes its start."""
    array(name, times, "float64", (rows, 2))
    if not np.isfinite(times).all():
        raise ValueError(f"{name} hold NaN or infinity")
    if rows and (np.any(times[:, 1] < times[:, 0]) or np.any(np.diff(times[:, 0]) < 0)):
        raise ValueError(f"{name} must be ordered, each end not before its start")
