"""A folder in the cache that lasts as long as a run on a cluster: what its processes leave there for each other."""

from __future__ import annotations

import uuid
from contextlib import suppress

from msapipe.cache import Store
from msapipe.cache.remote import write


class RunFolder:
    """Marks of the clips that processes have begun, each a small file of its own: no storage service appends.

    name: of the folder in the cache.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        self._files, top = store.file_system()
        self._folder = f"{top}/{name}"

    def make(self) -> None:
        """Write the mark of the run itself, for empty folders are nothing in a storage service."""
        with self.store.asking("written"):
            write(self._files, f"{self._folder}/run", b"")

    def is_seen(self) -> bool:
        """Whether the run's mark is seen from here."""
        with self.store.asking("read"):
            try:
                self._files.info(f"{self._folder}/run")
                return True
            except FileNotFoundError:
                return False

    def begin(self, number: int) -> int:
        """Mark that a process begins a clip; how many have, this one among them."""
        with self.store.asking("written"):
            write(self._files, f"{self._folder}/{number}-{uuid.uuid4().hex}", b"")
            return len(self._marks(number))

    def end(self, number: int) -> None:
        """Take the marks of a clip away; they are no harm where that is not allowed."""
        with suppress(Exception):
            for path in self._marks(number):
                self._files.rm_file(path)

    def remove(self) -> None:
        """Take the folder away with all that is in it."""
        with suppress(Exception):
            self._files.invalidate_cache()
            self._files.rm(self._folder, recursive=True)

    def _marks(self, number: int) -> list[str]:
        self._files.invalidate_cache()  # others write there too
        names = self._files.ls(self._folder, detail=False)
        return [name for name in names if name.rpartition("/")[2].startswith(f"{number}-")]
