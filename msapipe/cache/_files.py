"""Remembered hashes of media files, so that a run with nothing to do need not read a large data set again."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from msapipe.cache.key import file_digest

NAME = "files.jsonl"

# A file that changed this recently may change again without a change of its timestamps.
_SETTLED_SECONDS = 2.0

# Device, inode, bytes, modification time and change time (ctime), in nanoseconds. Nobody can set the ctime by hand:
# copying an old date onto new bytes moves it.
Stamp = tuple[int, int, int, int, int]


class Files:
    """The known files of a cache folder, one JSON line each; torn lines are skipped."""

    def __init__(self, root: Path) -> None:
        self._path = root / NAME
        self._known: dict[Stamp, str] | None = None

    def digest(self, path: Path) -> str:
        """sha256 of a file; reads it only when it has changed since the last time. Raises OSError."""
        stamp = _stamp(path)
        known = self._read()
        if stamp not in known:
            found = file_digest(path)
            if stamp != _stamp(path) or time.time() - stamp[4] / 1e9 < _SETTLED_SECONDS:
                return found
            known[stamp] = found
            with suppress(OSError):  # without a writable cache the file is read again next time
                self._append(stamp, found)
        return known[stamp]

    def _read(self) -> dict[Stamp, str]:
        if self._known is None:
            self._known = {}
            with suppress(OSError):
                for line in self._path.read_text(encoding="ascii", errors="replace").splitlines():
                    with suppress(ValueError, TypeError):
                        *stamp, found = json.loads(line)
                        if len(stamp) == 5 and isinstance(found, str) and len(found) == 64:
                            self._known[tuple(stamp)] = found
        return self._known

    def _append(self, stamp: Stamp, found: str) -> None:
        """Append one line. A single short write in append mode stays whole even with several writers."""
        with self._path.open("a", encoding="ascii") as file:
            file.write(json.dumps([*stamp, found]) + "\n")


def _stamp(path: Path) -> Stamp:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
