"""Seals: which cache entries were verified and are unchanged since, so that they need not be read again.

Each line is one seal: a hash of the entry's key and of its file's inode, size and timestamps. Changing, shortening or
copying a file moves its change time (ctime), which nobody can set by hand; the seal is then broken, and the entry is
read and its checksum verified. Only a disk that alters bytes by itself goes unnoticed (see --verify).
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

NAME = "seals.log"

# A file that changed this recently may change again without a change of its timestamps.
_SETTLED_SECONDS = 2.0
_DIGITS = 24


class Seals:
    """The seals of a cache folder. Without the file, or with a torn one, entries are verified once more."""

    def __init__(self, root: Path) -> None:
        self._path = root / NAME
        self._known: set[bytes] | None = None

    def holds(self, key: str, place: str | Path) -> bool:
        """Whether the entry at ``place`` was verified and is unchanged since. Raises OSError when it is absent."""
        return _seal(key, os.stat(place)) in self._read()

    def add(self, key: str, place: str | Path, seen: os.stat_result | None = None) -> None:
        """Seal an entry that this process has just written or verified.

        seen: the file's status before it was verified; the entry is sealed only if this still holds and is not recent.
        """
        with suppress(OSError):  # without a writable cache the entry is verified each time
            now = os.stat(place)
            if seen is not None and (_of(now) != _of(seen) or time.time() - now.st_ctime < _SETTLED_SECONDS):
                return
            seal = _seal(key, now)
            if seal not in self._read():
                with self._path.open("ab") as file:
                    file.write(seal + b"\n")
                self._read().add(seal)

    def _read(self) -> set[bytes]:
        if self._known is None:
            try:
                lines = self._path.read_bytes().split(b"\n")
            except OSError:
                lines = []
            self._known = {line for line in lines if len(line) == _DIGITS}
        return self._known


def before_sealing(place: Path) -> None:
    """Set the modification time back, so that a change within the same clock tick shows."""
    now = time.time_ns()
    os.utime(place, ns=(now, (now // 10**9 - 1) * 10**9))


def _of(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _seal(key: str, found: os.stat_result) -> bytes:
    return hashlib.blake2b(f"{key}{_of(found)}".encode(), digest_size=_DIGITS // 2).hexdigest().encode()
