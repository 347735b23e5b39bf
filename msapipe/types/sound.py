"""Iterate over long sound in a memory-mapped file piece by piece, so that little of it is in memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Samples per piece: about a minute at 16 kHz, 4 MB.
PIECE = 1 << 20


def pieces_of(samples: Floats, size: int = PIECE) -> Iterator[Floats]:
    """The samples in order as views of at most ``size``; each view's memory is released before the next one."""
    for first in range(0, len(samples), size):
        yield samples[first : first + size]
        let_go(samples)


def peak_of(samples: Floats) -> float:
    """The largest absolute value; 0 if there are no samples."""
    return max((float(max(piece.max(), -piece.min())) for piece in pieces_of(samples)), default=0.0)


def let_go(samples: NDArray[Any]) -> None:
    """Release the memory of memory-mapped sound; the system reads it again on the next access."""
    owner: Any = samples
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
