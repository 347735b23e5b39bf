"""A cache folder that lasts as long as a run on a cluster, in which its processes leave marks for each other."""

from __future__ import annotations

import uuid
from contextlib import suppress

from msapipe.cache import Store
from msapipe.cache.remote import write


class RunFolder:
    """Marks of the clips that processes have begun, one small file each, since no storage service can append.

    name: the folder's name in the cache.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        self._files, top = store.file_system()
        self._folder = f"{top}/{name}"

    def make(self) -> None:
        """Write the run's own mark, since storage services keep no empty folders."""
        with self.store.asking("written"):
            write(self._files, f"{self._folder}/run", b"")

    def is_seen(self) -> bool:
        """Whether this machine sees the run's mark."""
        with self.store.asking("read"):
            try:
                self._files.info(f"{self._folder}/run")
                return True
            except FileNotFoundError:
                return False

    def begin(self, number: int) -> int:
        """Mark that a process begins a clip; returns how many have begun it, this one included."""
        with self.store.asking("written"):
            write(self._files, f"{self._folder}/{number}-{uuid.uuid4().hex}", b"")
            return len(self._marks(number))

    def end(self, number: int) -> None:
        """Remove the marks of a clip; marks that may not be deleted do no harm."""
        with suppress(Exception):
            for path in self._marks(number):
                self._files.rm_file(path)

    def remove(self) -> None:
        """Delete the folder and everything in it."""
        with suppress(Exception):
            self._files.invalidate_cache()
            self._files.rm(self._folder, recursive=True)

    def _marks(self, number: int) -> list[str]:
        self._files.invalidate_cache()  # other processes write there too
        names = self._files.ls(self._folder, detail=False)
        return [name for name in names if name.rpartition("/")[2].startswith(f"{number}-")]
