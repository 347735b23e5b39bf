"""Collects a clip's decoded sound: in memory, or for a long clip in an unnamed temporary file."""

from __future__ import annotations

import mmap
import tempfile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MediaError

# Bytes: 17 minutes at 16 kHz. Longer sound goes to the temporary folder (TMPDIR).
MOST_IN_MEMORY = 64 << 20
_ZEROS = bytes(1 << 20)


class SoundBuffer:
    """A growing buffer. Its file never has a name, so a killed process leaves nothing behind."""

    def __init__(self) -> None:
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, data: bytes) -> None:
        """Append bytes. Raises MediaError (part of a sentence) if there is no room for them."""
        self._count += len(data)
        if self._file is None:
            self._memory += data
            if self._count <= MOST_IN_MEMORY:
                return
            data, self._memory = bytes(self._memory), bytearray()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as its memory map
            self._file.write(data)
        except OSError as error:
            raise _no_room(error) from error

    def silence(self, count: int) -> None:
        """Append so many zero bytes."""
        for first in range(0, count, len(_ZEROS)):
            self.add(_ZEROS[: min(len(_ZEROS), count - first)])

    def samples(self) -> NDArray[np.float32]:
        """All samples as writable float32; ValueError if the last sample is incomplete."""
        if self._file is None:
            return np.frombuffer(self._memory, np.float32)
        try:
            # Flushed, so that every byte is allocated on disk: writing to the map then needs no more space.
            self._file.flush()
        except OSError as error:
            raise _no_room(error) from error
        return np.frombuffer(mmap.mmap(self._file.fileno(), 0), np.float32)


def _no_room(error: OSError) -> MediaError:
    return MediaError(
        f"its sound is too long to be held in memory, and the folder for temporary files ({tempfile.gettempdir()}) "
        f"has no room for it ({error.strerror}); set TMPDIR to a folder with some"
    )
