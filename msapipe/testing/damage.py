"""Damage as disks and interrupted copies do it, for tests of what is stored."""

from __future__ import annotations

import os
import random
from pathlib import Path


def damage(path: Path, rng: random.Random) -> None:
    """Flip a bit of a file or cut its end off, and set the time of its content back."""
    data, times = bytearray(path.read_bytes()), path.stat()
    if rng.random() < 0.5:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    else:
        del data[rng.randrange(len(data)) :]
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
