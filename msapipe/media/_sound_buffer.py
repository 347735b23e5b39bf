"""The sound of a clip as it comes from the decoder: in memory, or, of a long one, in a file without a name."""

from __future__ import annotations

import mmap
import tempfile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MediaError

# Bytes: 17 minutes at 16 kHz. What is longer goes to the folder for temporary files (TMPDIR).
MOST_IN_MEMORY = 64 << 20
_ZEROS = bytes(1 << 20)


class SoundBuffer:
    """Grows by what ``add`` is given. The file has no name from the beginning: a kill leaves nothing of it behind."""

    def __init__(self) -> None:
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, data: bytes) -> None:
        """Append bytes. Raises MediaError, as a part of a sentence, when there is no room for them."""
        self._count += len(data)
        if self._file is None:
            self._memory += data
            if self._count <= MOST_IN_MEMORY:
                return
            data, self._memory = bytes(self._memory), bytearray()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as what is mapped of it
            self._file.write(data)
        except OSError as error:
            raise _no_room(error) from error

    def silence(self, count: int) -> None:
        """Append so many zero bytes."""
        for first in range(0, count, len(_ZEROS)):
            self.add(_ZEROS[: min(len(_ZEROS), count - first)])

    def samples(self) -> NDArray[np.float32]:
        """All of it as float32, to be written to; ValueError when a sample is cut in two."""
        if self._file is None:
            return np.frombuffer(self._memory, np.float32)
        try:
            # Flushed, so that every byte has its place on the disk: changing what is mapped then needs no more.
            self._file.flush()
        except OSError as error:
            raise _no_room(error) from error
        return np.frombuffer(mmap.mmap(self._file.fileno(), 0), np.float32)


def _no_room(error: OSError) -> MediaError:
    return MediaError(
        f"its sound is too long to be held in memory, and the folder for temporary files ({tempfile.gettempdir()}) "
        f"has no room for it ({error.strerror}); set TMPDIR to a folder with some"
    )
