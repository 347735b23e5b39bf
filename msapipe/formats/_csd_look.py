"""Tries a .csd file in another process first: HDF5 loops for ever in some damaged files, and crashes in others.

That process answers each path on its standard input: a dot at the start and every second, at the end a line: empty, or
why the file cannot be read, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msapipe.errors import MsapipeError
from msapipe.formats._csd_file import array_of, library, refused, unlooked
from msapipe.interrupts import not_outlive, uninterrupted
from msapipe.media.options import Limits
from msapipe.safe_paths import member

START_SECONDS = 120.0
_ALIVE, _DONE = b".", b"\n"
_PIECE = 64 << 20  # bytes read at once

_lock = threading.Lock()
_child: subprocess.Popen[bytes] | None = None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A file's group of entries and its metadata, once the other process has read it; MsapipeError."""
    library()
    look(path)
    with unlooked(path) as found:
        yield found


def look(path: Path) -> None:
    """Raise MsapipeError if HDF5 cannot read the file, hangs or crashes on it.

    The process is kept for the next file. It is killed after so many seconds without a sign of life as a decoder is.
    """
    limits = Limits.from_environment()
    with _lock:
        try:
            child = _running(limits)
            _ask(child, path)
            while (said := _answer(child, limits.stall_seconds)) == _ALIVE:
                pass
        except BaseException:  # an interrupt; the answer would be taken for that of the next file
            _end()
            raise
        if said == _DONE:
            return
        if said == b'"':
            raise MsapipeError(_refusal(child, limits.stall_seconds))
        _end()
    why = "crashes on it" if said == b"" else f"hung for {limits.stall_seconds:.0f} s"
    raise MsapipeError(f"{path}: a damaged HDF5 file: the library {why}; get the file again")


def _running(limits: Limits) -> subprocess.Popen[bytes]:
    global _child
    if _child is not None and _child.poll() is None:
        return _child
    command = [sys.executable, "-P", "-m", __name__, str(os.getpid()), str(limits.memory_mb)]
    with uninterrupted():
        _child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
    if _answer(_child, START_SECONDS) != _ALIVE:
        raise MsapipeError(f"HDF5 does not start in a process of its own; try `{sys.executable} -c 'import h5py'`")
    return _child


def _ask(child: subprocess.Popen[bytes], path: Path) -> None:
    if child.stdin is not None:
        with contextlib.suppress(OSError):  # it has died: there will be no answer
            child.stdin.write(json.dumps(os.path.abspath(path)).encode("ascii") + b"\n")


def _answer(child: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """One byte; b"" when the process has ended, None when none came in time."""
    if child.stdout is None:
        return None
    ready, _, _ = select.select([child.stdout], [], [], seconds)
    return os.read(child.stdout.fileno(), 1) if ready else None


def _refusal(child: subprocess.Popen[bytes], seconds: float) -> str:
    """The rest of the line."""
    line = b'"'
    while not line.endswith(_DONE):
        line += _answer(child, seconds) or b'"\n'  # it has died: what came so far
    return str(json.loads(line))


def _end() -> None:
    global _child
    if _child is not None:
        _child.kill()
        _child.wait()
        for pipe in (_child.stdin, _child.stdout):
            if pipe is not None:
                pipe.close()
    _child = None


def walk(path: Path, alive: int) -> None:
    """Do with the file what reading it does, except for arrays whose bytes lie in one piece; MsapipeError.

    alive: for dots.
    """
    last = time.monotonic()
    with unlooked(path) as (data, _):
        for entry in data:
            for name in ("features", "intervals"):
                if time.monotonic() - last > 1:
                    os.write(alive, _ALIVE)
                    last = time.monotonic()
                with refused(path, entry):
                    values = array_of(member(data, entry), name)
                    if values.chunks is None and values.dtype.kind != "O":
                        continue
                    rows = max(1, _PIECE * len(values) // max(1, values.nbytes))
                    for first in range(0, len(values), rows):
                        values[first : first + rows]


def main() -> None:
    """Answer until the input ends."""
    parent, memory_mb = map(int, sys.argv[1:])
    not_outlive(parent)
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, resource.getrlimit(resource.RLIMIT_AS)[1]))
    import h5py  # noqa: F401  # its import belongs to the start

    os.write(1, _ALIVE)
    for line in sys.stdin:
        path = Path(json.loads(line))
        why = ""
        try:
            walk(path, 1)
        except MsapipeError as error:
            why = json.dumps(str(error))
        except Exception as error:  # noqa: BLE001 - whatever a broken file broke, memory too, the parent must not try
            why = json.dumps(f"{path}: a damaged HDF5 file: {error or type(error).__name__}; get the file again")
        os.write(1, why.encode("ascii") + _DONE)


if __name__ == "__main__":
    main()
