"""Which entries of a cache were seen whole and are untouched since, so that they are not read again to know it.

A line a seal: a hash of the entry's key and of inode, size and the times of its file. Whoever changes, shortens or
copies a file moves the time of its last change of any kind, which cannot be set by hand; the seal is then broken and
the entry is read and its checksum verified. Only a disk that alters bytes by itself goes unseen (see --verify).
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

NAME = "seals.log"

# A file that changed this recently may change again without its times telling.
_SETTLED_SECONDS = 2.0
_DIGITS = 24


class Seals:
    """The seals of a cache folder; the file may be deleted or torn: entries are then verified once more."""

    def __init__(self, root: Path) -> None:
        self._path = root / NAME
        self._known: set[bytes] | None = None

    def holds(self, key: str, place: str | Path) -> bool:
        """Whether the entry at ``place`` was seen whole and is untouched since. Raises OSError when it is absent."""
        return _seal(key, os.stat(place)) in self._read()

    def add(self, key: str, place: str | Path, seen: os.stat_result | None = None) -> None:
        """Seal an entry that this process has just written.

        seen: it was verified instead, after its file looked so; it is sealed when that is still so and some time old.
        """
        with suppress(OSError):  # a cache that cannot be written is verified each time, which is no harm
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
    """Set back the time of the last change of content: a change within the same tick of the clock then shows."""
    now = time.time_ns()
    os.utime(place, ns=(now, (now // 10**9 - 1) * 10**9))


def _of(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _seal(key: str, found: os.stat_result) -> bytes:
    return hashlib.blake2b(f"{key}{_of(found)}".encode(), digest_size=_DIGITS // 2).hexdigest().encode()
