"""The parent's handle on one decoding child: start it, send requests, wait within limits, kill it."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from msapipe.media._protocol import LENGTHS, OUT_OF_MEMORY, Header, lengths, parse
from msapipe.media.options import Limits

# Startup has its own limit: on a busy machine or a slow disk, the imports alone take a while.
START_SECONDS = 120.0
PING_SECONDS = 10.0
PIPE_BYTES = 1 << 20


class ChildFailed(Exception):
    """The child ended, stalled, or sent an invalid message. The text is part of a sentence."""


class Watch:
    """Time spent waiting in one call, checked against its limits; the parent's own work is not counted."""

    def __init__(self, limits: Limits, size: int) -> None:
        """``size``: bytes of the file being decoded."""
        self._limits = limits
        self._size = size
        self._waited = self._idle = self._reached = 0.0

    def reached(self, seconds: Any) -> None:
        """Record how many seconds of the file are done, as reported by the child."""
        value = float(seconds)
        if math.isfinite(value):
            self._reached = max(self._reached, value)

    def left(self) -> float:
        """Seconds that may still pass without a byte; raises ChildFailed if none are left."""
        limits = self._limits
        whole = limits.allowance(self._reached, self._size)
        if self._waited >= whole:
            raise ChildFailed(
                f"decoding was stopped after {self._waited:.0f} s, its limit, at second {self._reached:.0f} of the "
                f"file; set MSAPIPE_DECODE_SECONDS above {limits.seconds:g} to allow more"
            )
        if self._idle >= limits.stall_seconds:
            raise ChildFailed(
                f"the decoder hung: it was killed after {self._idle:.0f} s without progress; "
                f"set MSAPIPE_DECODE_SECONDS above {limits.seconds:g} to wait longer"
            )
        return min(whole - self._waited, limits.stall_seconds - self._idle)

    def passed(self, seconds: float, progress: bool) -> None:
        """Count waiting time."""
        self._waited += seconds
        self._idle = 0.0 if progress else self._idle + seconds


class Child:
    """One running child process."""

    def __init__(self, limits: Limits) -> None:
        self._memory_mb = limits.memory_mb
        command = [sys.executable, "-P", "-m", "msapipe.media._child", str(os.getpid()), str(limits.memory_mb)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # crash output is not for the user's terminal
            bufsize=0,
            env=_environment(os.environ),
        )
        self._in, self._out = cast(FileIO, self._process.stdin), cast(FileIO, self._process.stdout)
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        _widen(self._out.fileno())

    def wait_ready(self) -> None:
        """Wait until the child has finished its imports; raises ChildFailed if it cannot."""
        watch = Watch(Limits(START_SECONDS, START_SECONDS), 0)
        try:
            self.receive(watch)
        except ChildFailed as failed:
            command = "python -c 'import av, numpy, msapipe.media._child'"
            raise ChildFailed(f"the decoding process cannot start ({failed}); try `{command}`") from None

    def answers(self) -> bool:
        """Whether an idle child still answers; it may have been killed, with its thread or by hand."""
        try:
            self.ask({"what": "ping"})
            self.receive(Watch(Limits(PING_SECONDS, PING_SECONDS), 0))
        except ChildFailed:
            return False
        return True

    def ask(self, request: Header) -> None:
        """Send a request; raises ChildFailed if the child is gone."""
        import json

        text = json.dumps(request).encode("ascii")
        try:
            self._in.write(struct.pack("<I", len(text)) + text)
        except OSError:
            raise ChildFailed(self._ending()) from None

    def receive(self, watch: Watch) -> tuple[Header, NDArray[np.uint8]]:
        """The next message: its header and its payload, uint8 (n,)."""
        try:
            header_size, payload_size = lengths(self._read(LENGTHS.size, watch).tobytes())
            header = parse(self._read(header_size, watch).tobytes())
        except ValueError:
            raise ChildFailed(
                "the decoder sent nonsense, so it was stopped; the file may be made to break it"
            ) from None
        return header, self._read(payload_size, watch)

    def _read(self, size: int, watch: Watch) -> NDArray[np.uint8]:
        """Exactly ``size`` bytes."""
        data = np.empty(size, np.uint8)
        view = memoryview(data.data)
        while len(view):
            left = watch.left()
            begun = time.monotonic()
            ready = self._poll.poll(math.ceil(left * 1000))
            watch.passed(time.monotonic() - begun, bool(ready))
            if ready:
                got = self._out.readinto(view)
                if not got:
                    raise ChildFailed(self._ending())
                view = view[got:]
        return data

    def _ending(self) -> str:
        """How the child ended, and what to do."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "the decoder closed its pipe"
        if code == OUT_OF_MEMORY or code == -signal.SIGKILL:
            why = "ran out of memory" if code > 0 else "was killed by the system, most likely for want of memory"
            return (
                f"the decoder {why} (its own limit is {self._memory_mb} MB); "
                "set MSAPIPE_DECODE_MEMORY_MB to another value, or scale the video down"
            )
        advice = "the file is damaged in a way that breaks it. Convert the file with ffmpeg, or leave it out"
        if code < 0:
            return f"the decoder crashed ({_signal_name(-code)}): {advice}"
        return f"the decoder ended by itself (exit code {code}): {advice}"

    def kill(self) -> None:
        """End the process and reap it; safe to call twice."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _widen(pipe: int) -> None:
    """Enlarge a pipe if possible: a frame is megabytes, and the usual 64 KiB cost a context switch each."""
    import fcntl

    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: the parent's, with this package on the path and settings for large frames.

    Few memory arenas keep the address space small. Reusing frame buffers, instead of returning them to the system after
    each frame, halves the time of 1080p video (otherwise each 4 KiB cost a page fault).
    """
    root = str(Path(__file__).resolve().parents[2])
    search = [part for part in (own.get("PYTHONPATH"), root) if part]
    tuned = {
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    return {**tuned, **own, "PYTHONPATH": os.pathsep.join(search)}
