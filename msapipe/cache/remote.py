"""A cache in a storage service: a local folder in front of any file system that fsspec knows.

An entry is one object, <address>/<slot>/<first two digits>/<key>.safetensors, with the same bytes as in a folder. The
local folder holds the entries that this machine has read or written, and its own locks, index and file hashes. Two
machines may therefore compute the same entry at once; they write the same bytes, and the last write stays.

fsspec reads, writes and lists. Its own file caches (simplecache, filecache) are not used: they verify no checksum,
fetch one file at a time, and do not remember absent objects, so that each missing result costs a request.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from msapipe.cache.place import default_folder
from msapipe.cache.store import SUFFIX, Entry, Store, entry_bytes
from msapipe.errors import CacheError, ConfigError, MissingLibrary, MsapipeError

# A listing costs about one round trip per thousand objects, whoever wrote them: few lookups do not pay for it.
_ASKED_SINGLY = 64
_PASSWORD = re.compile(r"//[^/@]*:[^/@]*@")
# Every clip of a run reads its summary, and summaries are small: fetched a shelf (the first two digits) at a time.
_BY_THE_SHELF = "summary"


class RemoteStore(Store):
    """A cache at an address in a storage service. The constructor loads the package for this kind of storage.

    Raises ConfigError for an unknown kind of address, MissingLibrary, and CacheError when it cannot be reached.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        super().__init__(default_folder() / "remote" / hashlib.sha256(self._address.encode()).hexdigest()[:12])
        self._service, self._top = file_system(self._address)
        self._shelves: dict[str, set[str]] | None = None  # "audio/ab" to the keys in the service when listed
        self._asked = 0
        self._absent: set[tuple[str, str]] = set()
        self._claimed = False

    @property
    def address(self) -> str:
        """The address by which another process opens this cache (``open_store``)."""
        return self._address

    def has(self, slot: str, key: str) -> bool:
        """Whether the entry is local or in the service. The first few are looked up singly, then all listed once.

        An outdated listing costs a second lookup: the holder of a claim asks again for entries that are not in it.
        """
        if self._is_near(slot, key):
            return True
        if self._ask_singly():
            with self.asking("read"):
                try:
                    self._service.info(self._object(slot, key))
                    return True
                except FileNotFoundError:
                    return False
        return key in self._listed()[_shelf(slot, key)]

    def whole(self, slot: str, key: str, verify: bool = False) -> bool:
        """See Store. An entry that is only in the service counts as whole: it is verified when fetched."""
        return super().whole(slot, key, verify) if self._is_near(slot, key) else self.has(slot, key)

    def get(self, slot: str, key: str, pictures: bool = True) -> Entry | None:
        """The entry, local or fetched, its checksum verified; None when it is absent or damaged."""
        entry = super().get(slot, key, pictures)
        if entry is None and self._may_have(slot, key):
            fetched = {key}
            if slot == _BY_THE_SHELF and self._shelves is not None and not self._claimed:
                fetched |= {other for other in self._shelves[_shelf(slot, key)] if not self._is_near(slot, other)}
            self._fetch([(slot, other) for other in fetched])
            entry = super().get(slot, key, pictures)
        return entry

    def bring(self, results: Iterable[tuple[str, str]]) -> None:
        """Fetch the entries that are not local in one request, instead of one each."""
        self._fetch([pair for pair in results if not self._is_near(*pair) and self._may_have(*pair)])

    def put(self, slot: str, key: str, value: Any, made_from: dict[str, Any], notes: tuple[str, ...] = ()) -> None:
        """Write an entry to the service, then locally: a local entry was always in the service. Raises CacheError."""
        data = entry_bytes(value, made_from, notes)
        with self.asking("written"):
            write(self._service, self._object(slot, key), data)
        try:
            self._write(slot, key, data)
        except OSError as error:
            raise self.unwritable(error) from error
        self._absent.discard((slot, key))

    def discard(self, slot: str, key: str) -> None:
        """Delete an entry, locally and in the service, if it exists and may be deleted."""
        super().discard(slot, key)
        with suppress(CacheError), self.asking("written"):
            self._service.rm_file(self._object(slot, key))

    def unwritable(self, error: OSError) -> CacheError:
        """The error for a local folder that cannot be written."""
        return CacheError(
            f"the folder {self.root}, which holds what is near of the cache {self.address}, cannot be written: "
            f"{error.strerror or error}; free space (msapipe cache prune --cache {self.address}), "
            "or set MSAPIPE_CACHE to a folder, below which it will then be"
        )

    def file_system(self) -> tuple[Any, str]:
        """The fsspec file system of the cache, and the cache's path in it."""
        return self._service, self._top

    @contextmanager
    def asking(self, done: str) -> Iterator[None]:
        """Turn errors inside into MissingLibrary or CacheError.   done: "read", "written" or "opened"."""
        with sentences(self.address, done):
            yield

    @contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Hold the right to compute, among the processes of this machine."""
        with super().claim(name):
            self._absent.clear()
            self._claimed = True
            try:
                yield
            finally:
                self._claimed = False

    def try_out(self) -> None:
        """Write a small object and remove it; raises CacheError when the service refuses."""
        with self.asking("written"):
            path = f"{self._top}/try-{uuid.uuid4().hex}"
            write(self._service, path, b"")
            self._service.rm_file(path)

    def _object(self, slot: str, key: str) -> str:
        return f"{self._top}/{_shelf(slot, key)}/{key}{SUFFIX}"

    def _is_near(self, slot: str, key: str) -> bool:
        return super().has(slot, key)

    def _may_have(self, slot: str, key: str) -> bool:
        """Whether a fetch is worth trying. The holder of a claim always tries, lest it recompute a stored entry."""
        if (slot, key) in self._absent:
            return False
        if self._claimed or self._ask_singly():
            return True
        return key in self._listed()[_shelf(slot, key)]

    def _ask_singly(self) -> bool:
        self._asked += 1
        return self._shelves is None and self._asked <= _ASKED_SINGLY

    def _listed(self) -> dict[str, set[str]]:
        """The keys in the service, by shelf; listed once."""
        if self._shelves is None:
            shelves: dict[str, set[str]] = defaultdict(set)
            with self.asking("read"), suppress(FileNotFoundError):  # nothing has been written yet
                self._service.invalidate_cache()
                for path in self._service.find(self._top):
                    parts = path.removesuffix(SUFFIX).split("/")[-3:]
                    if path.endswith(SUFFIX) and len(parts) == 3:
                        shelves["/".join(parts[:2])].add(parts[2])
            self._shelves = shelves
        return self._shelves

    def _fetch(self, results: Collection[tuple[str, str]]) -> None:
        """Fetch entries that are whole; absent and damaged ones are remembered until the next claim."""
        wanted = {self._object(*pair): pair for pair in results}
        if not wanted:
            return
        with self.asking("read"):
            found = self._service.cat(list(wanted), on_error="return")
            for data in found.values():
                if isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
                    raise data
        for path, data in found.items():
            if isinstance(data, FileNotFoundError) or not self._took(*wanted[path], data):
                self._forget(*wanted[path])

    def _took(self, slot: str, key: str, data: bytes) -> bool:
        """Store an entry locally; False when its bytes are damaged."""
        try:
            self._write(slot, key, data, verify=True)
        except ValueError:
            return False
        except OSError as error:
            raise self.unwritable(error) from error
        return True

    def _forget(self, slot: str, key: str) -> None:
        self._absent.add((slot, key))
        if self._shelves is not None:
            self._shelves[_shelf(slot, key)].discard(key)


def file_system(address: str) -> tuple[Any, str]:
    """The file system of an address and the path in it. Raises the errors of RemoteStore."""
    from fsspec.core import url_to_fs
    from fsspec.registry import get_filesystem_class

    if _PASSWORD.search(address):
        raise ConfigError(
            "the cache's address holds a password, which would stand in logs and in the shell's history; "
            "give the service's own variables, a key, or a file in ~/.config/fsspec"
        )
    if set("*?[") & set(address):
        raise ConfigError(f"the cache {address}: expected the address of one folder, without *, ? and [")
    kind = address.partition(":")[0]
    with sentences(address, "opened"):
        try:
            get_filesystem_class(kind)
        except ValueError as error:
            raise ConfigError(
                f"the cache {address}: no kind of storage is called {kind!r}; "
                "expected a folder, or an address such as s3://bucket/folder"
            ) from error
        service, top = url_to_fs(address)
        return service, str(top).rstrip("/")


def write(service: Any, path: str, data: bytes) -> None:
    """Write an object. An object store writes it whole or not at all.

    Elsewhere a crash may cut it off; its checksum then fails, and it is computed and written again. That is too rare to
    pay for a temporary name and a move, which an object store does as a second copy.
    """
    try:
        service.pipe_file(path, data)
    except FileNotFoundError:
        _make_folder(service, path.rpartition("/")[0])
        service.pipe_file(path, data)


def _make_folder(service: Any, path: str) -> None:
    """Make a folder and its parents one by one: makedirs would make object stores create a mistyped bucket."""
    above = path.rpartition("/")[0]
    if not above.strip("/") or service.isdir(path):
        return
    _make_folder(service, above)
    with suppress(FileExistsError):  # another process was faster
        service.mkdir(path, create_parents=False)


@contextmanager
def sentences(address: str, done: str) -> Iterator[None]:
    """Turn errors of a service into MissingLibrary or CacheError, with a message for users."""
    try:
        yield
    except MsapipeError:
        raise
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or error.name or "fsspec"
        raise MissingLibrary(
            f"the cache {address} needs the package {package}: {error}; type: uv pip install {package}"
        ) from error
    except Exception as error:  # each service's library raises errors of its own
        found = " ".join(str(error).split()) or "no reason given"
        raise CacheError(
            f"the cache {address} cannot be {done}: {type(error).__name__}: {found}; check the address and your access "
            "to it, or name another cache with --cache or MSAPIPE_CACHE"
        ) from error


def _shelf(slot: str, key: str) -> str:
    return f"{slot}/{key[:2]}"
