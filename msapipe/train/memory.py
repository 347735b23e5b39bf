"""The memory of a training: tensors of the same sizes come and go at every step."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Of glibc's malloc.h, with the values that its own rule ends at in long-lived processes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
USUAL = {M_MMAP_THRESHOLD: 32 << 20, M_TRIM_THRESHOLD: 64 << 20}
LARGEST = (1 << 31) - 1


@contextmanager
def kept() -> Iterator[None]:
    """What is freed stays with the process until the end, then goes back to the system.

    Otherwise tensors of megabytes go back at once, and the next step pays a page fault for each 4 KiB of them: up to
    half the time of a training on a CPU. Does nothing without glibc.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    try:
        for option in USUAL:
            libc.mallopt(option, LARGEST)
        yield
    finally:
        for option, value in USUAL.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)
