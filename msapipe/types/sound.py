"""Long sound lies in a file that is mapped into memory: walked over piece by piece, so that little of it is held."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Samples at once: a minute and a bit at 16 kHz, 4 MB.
PIECE = 1 << 20


def pieces_of(samples: Floats, size: int = PIECE) -> Iterator[Floats]:
    """The samples in order, at most ``size`` at once (views); what was handed out is let go of when the next is due."""
    for first in range(0, len(samples), size):
        yield samples[first : first + size]
        let_go(samples)


def peak_of(samples: Floats) -> float:
    """The largest absolute value; 0 of no sample."""
    return max((float(max(piece.max(), -piece.min())) for piece in pieces_of(samples)), default=0.0)


def let_go(samples: NDArray[Any]) -> None:
    """Give the memory of sound that lies in a file back to the system, which reads it again when it is looked at."""
    owner: Any = samples
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
