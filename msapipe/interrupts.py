"""Blocks of code that a signal must not cut in two, and processes that must not outlive their parent."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the end of the block: what is started in it is known, what is cleaned up is gone.

    Only the main thread receives signals; the block has no effect in others.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in ours:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for known, handler in ours.items():
            signal.signal(known, handler)
        for came_number, frame in came[:1]:
            ours[signal.Signals(came_number)](came_number, frame)


def not_outlive(parent: int) -> None:
    """End this process when its parent is killed (Linux), since nobody reads its answers any more."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
