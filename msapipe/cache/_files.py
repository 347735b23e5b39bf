"""Hashes of media files that were read before, so that a large data set is not read again to find nothing to do."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from msapipe.cache.key import file_digest

NAME = "files.jsonl"

# A file that changed this recently may change again without its times telling.
_SETTLED_SECONDS = 2.0

# Device, inode, bytes, times of the last change of content and of the last change of any kind (nanoseconds). The last
# cannot be set by hand: copying an old date onto new bytes moves it.
Stamp = tuple[int, int, int, int, int]


class Files:
    """What is known of files below a cache folder, one JSON line each; torn lines are passed over."""

    def __init__(self, root: Path) -> None:
        self._path = root / NAME
        self._known: dict[Stamp, str] | None = None

    def digest(self, path: Path) -> str:
        """sha256 of a file, from its bytes unless it is the very file that was read before. Raises OSError."""
        stamp = _stamp(path)
        known = self._read()
        if stamp not in known:
            found = file_digest(path)
            if stamp != _stamp(path) or time.time() - stamp[4] / 1e9 < _SETTLED_SECONDS:
                return found
            known[stamp] = found
            with suppress(OSError):  # a cache that cannot be written remembers nothing, which is no harm
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
        """One short write to a file opened for appending is whole also with several writers."""
        with self._path.open("a", encoding="ascii") as file:
            file.write(json.dumps([*stamp, found]) + "\n")


def _stamp(path: Path) -> Stamp:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
