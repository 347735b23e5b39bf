"""Results on disk: <root>/<slot>/<first two digits>/<key>.safetensors, each written whole or not at all.

An entry is one safetensors file; whatever is not an array is JSON in its header, with a checksum over everything. It
holds no date, path or machine, so that the same computation always writes the same bytes. Beside the entries lie
index.jsonl (index.py), seals.log (_seals.py), locks/ (so that two runs on one cache share the work) and writing/
(unfinished files).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from msapipe.cache import index
from msapipe.cache._files import Files
from msapipe.cache._seals import Seals, before_sealing
from msapipe.cache.codec import PICTURES, Arrays, Value, decode, encode
from msapipe.errors import CacheError

Buffer = bytes | memoryview
SUFFIX = ".safetensors"
# numpy's names of types and safetensors', which writes the arrays of the last ones first.
_DTYPES = {"bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16", "float16": "F16"}
_DTYPES |= {"int32": "I32", "uint32": "U32", "float32": "F32", "float64": "F64", "int64": "I64", "uint64": "U64"}
_SERVICE = ("locks", "writing")
# A summary only repeats what the results hold: not worth an fsync.
_SAID_AGAIN = "summary"


@dataclass(frozen=True)
class Entry:
    """A stored result: the value, notes for the user, and the parts of its key."""

    value: Value
    notes: tuple[str, ...]
    made_from: dict[str, Any]


class Store:
    """A cache folder. The constructor touches nothing; the first write makes the folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root).expanduser().absolute()
        self._root = os.fspath(self.root)
        self._files = Files(self.root)
        self._seals = Seals(self.root)
        self._mine: Path | None = None
        self._begun: Path | None = None
        self._alive: FileLock | None = None
        self._owner = 0

    @property
    def address(self) -> str:
        """The address by which another process opens this cache (``open_store``)."""
        return self._root

    def path(self, slot: str, key: str) -> Path:
        """The path of the entry, whether it exists or not."""
        return Path(self._place(slot, key))

    def _place(self, slot: str, key: str) -> str:
        return f"{self._root}/{slot}/{key[:2]}/{key}{SUFFIX}"

    def has(self, slot: str, key: str) -> bool:
        """Whether the entry exists; only ``whole`` and ``get`` tell whether it is usable."""
        return os.path.isfile(self._place(slot, key))

    def whole(self, slot: str, key: str, verify: bool = False) -> bool:
        """Whether the entry exists and is usable. It is read only if its file changed since it was written.

        verify: read it in any case.
        """
        place = self._place(slot, key)
        try:
            if not verify and self._seals.holds(key, place):
                return True
            seen = os.stat(place)
            read_entry(Path(place))
        except (ValueError, OSError):
            return False
        self._seals.add(key, place, seen)
        return True

    def file_digest(self, path: Path) -> str:
        """sha256 of the bytes of a file, 64 hex digits; remembered as long as the file is unchanged."""
        return self._files.digest(path)

    def get(self, slot: str, key: str, pictures: bool = True) -> Entry | None:
        """The entry, its checksum verified; None when it is absent or damaged (it is then recomputed).

        Without ``pictures``, the bytes of pictures are not read, and the entry is verified as by ``whole``.
        """
        if not pictures and not Store.whole(self, slot, key):
            return None
        try:
            return read_entry(self.path(slot, key), pictures)
        except (ValueError, OSError):
            return None

    def bring(self, results: Iterable[tuple[str, str]]) -> None:
        """Prefetch entries (slot, key) that will be needed; a folder has nothing to do."""

    def put(self, slot: str, key: str, value: Value, made_from: dict[str, Any], notes: tuple[str, ...] = ()) -> None:
        """Write an entry whole. Raises CacheError."""
        try:
            self._write(slot, key, *entry_pieces(value, made_from, notes))
        except OSError as error:
            raise self.unwritable(error) from error

    def _write(self, slot: str, key: str, *pieces: Buffer, verify: bool = False) -> None:
        """Write a temporary file, flush it to disk, rename it; verify: raise ValueError when the data are damaged."""
        final = self.path(slot, key)
        part = self._writing() / f"{uuid.uuid4().hex}{SUFFIX}"
        try:
            with part.open("wb") as file:
                file.writelines(pieces)
                if slot != _SAID_AGAIN:
                    file.flush()
                    os.fsync(file.fileno())
            if verify:
                read_entry(part)
            before_sealing(part)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, final)
        finally:
            part.unlink(missing_ok=True)
        self._seals.add(key, final)
        index.append(self.root, slot, key, sum(memoryview(piece).nbytes for piece in pieces))

    def discard(self, slot: str, key: str) -> None:
        """Delete an entry, if it exists and may be deleted."""
        with suppress(OSError):
            self.path(slot, key).unlink()

    def unwritable(self, error: OSError) -> CacheError:
        """The error for a cache that cannot be written."""
        return CacheError(
            f"the cache {self.root} cannot be written: {error.strerror or error}; "
            "name another folder with --cache DIR or MSAPIPE_CACHE, or free space (msapipe cache prune)"
        )

    def file_system(self) -> tuple[Any, str]:
        """The fsspec file system of the cache, and the cache's path in it."""
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem(), self._root

    @contextmanager
    def asking(self, done: str) -> Iterator[None]:
        """Turn errors inside into CacheError.   done: "read", "written" or "opened"."""
        try:
            yield
        except OSError as error:
            raise self.unwritable(error) from error

    @contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Hold the right to compute what belongs to ``name`` (a hex digest), waiting for other processes.

        A cache that cannot be written needs no claim. There are 256 locks in all, so two names may share one: they
        then wait for each other, which costs time but nothing else.
        """
        try:
            folder = self.root / "locks"
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f"{name[:2]}.lock")
            lock.acquire()
        except (OSError, NotImplementedError):  # not writable, or a file system without locks
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def entries(self) -> Iterator[tuple[str, str, Path]]:
        """(slot, key, path) of every entry, in order of slot and key."""
        if not self.root.is_dir():
            return
        for slot in sorted(self.root.iterdir()):
            if slot.is_dir() and slot.name not in _SERVICE:
                for path in sorted(slot.glob(f"??/*{SUFFIX}")):
                    yield slot.name, path.stem, path

    def close(self) -> None:
        """Remove this process's folder for unfinished files."""
        if self._begun is not None and self._owner == os.getpid():
            if self._alive is not None:
                self._alive.release()
            shutil.rmtree(self._begun, ignore_errors=True)
        self._mine = self._begun = self._alive = None

    def sweep(self) -> int:
        """Remove unfinished files of killed processes; returns how many of their folders there were."""
        removed = 0
        for folder in (self.root / "writing").glob("*"):
            lock = FileLock(folder / "alive.lock")
            try:
                lock.acquire(timeout=0)
            except (Timeout, OSError):
                continue  # its process is still alive
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()
            removed += 1
        return removed

    def _writing(self) -> Path:
        """This process's folder for unfinished files; the lock in it shows that the process is alive."""
        if self._mine is None or self._owner != os.getpid():
            self._owner = os.getpid()
            self.sweep()
            self._mine = None
        while self._mine is None:
            # Remembered before it exists, so that an interrupt in between leaves nothing behind.
            self._begun = folder = self.root / "writing" / uuid.uuid4().hex
            folder.mkdir(parents=True)
            self._alive = FileLock(folder / "alive.lock")
            with suppress(FileNotFoundError):  # another process swept the folder away before it was locked
                self._alive.acquire()
                if folder.is_dir():
                    self._mine = folder
        return self._mine


def entry_bytes(value: Value, made_from: dict[str, Any], notes: tuple[str, ...]) -> bytes:
    """The bytes of an entry's file. The same value, origin and notes always give the same bytes."""
    return b"".join(entry_pieces(value, made_from, notes))


def entry_pieces(value: Value, made_from: dict[str, Any], notes: tuple[str, ...]) -> list[Buffer]:
    """The same in pieces, which are the arrays' own memory: features of hours are not copied to be written.

    This is what safetensors' ``save`` writes (a test compares them), which takes twice the room of the arrays.
    """
    import numpy as np

    kind, arrays, plain = encode(value)
    # The raw memory of an array is written, so views must be made contiguous first.
    arrays = {name: np.ascontiguousarray(item) for name, item in arrays.items()}
    head = {"type": kind, "recipe": made_from, "notes": list(notes), "plain": plain}
    head["sha256"] = _checksum(head, arrays)
    # A single metadata field: safetensors does not keep the order of several.
    table: dict[str, Any] = {"__metadata__": {"msapipe": json.dumps(head, sort_keys=True, ensure_ascii=True)}}
    order = sorted(arrays, key=lambda name: (-list(_DTYPES).index(arrays[name].dtype.name), name))
    end = 0
    for name in order:
        begin, end = end, end + arrays[name].nbytes
        kept = {"dtype": _DTYPES[arrays[name].dtype.name], "shape": arrays[name].shape, "data_offsets": (begin, end)}
        table[name] = kept
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return [struct.pack("<Q", len(text)), text, *(arrays[name].data for name in order if arrays[name].size)]


def read_entry(path: Path, pictures: bool = True) -> Entry:
    """Read an entry and verify its checksum; raises ValueError when it is damaged.   pictures: see ``Store.get``."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        with safe_open(str(path), framework="numpy") as file:
            head = json.loads((file.metadata() or {})["msapipe"])
            names = [name for name in file.keys() if pictures or not name.endswith(PICTURES)]  # noqa: SIM118
            whole = len(names) == len(file.keys())
            arrays: Arrays = {name: file.get_tensor(name) for name in names}
        stated = head.pop("sha256")
        if whole and _checksum(head, arrays) != stated:
            raise ValueError("checksum does not match")
        return Entry(decode(head["type"], arrays, head["plain"]), tuple(head["notes"]), head["recipe"])
    except (SafetensorError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _checksum(head: dict[str, Any], arrays: Arrays) -> str:
    """sha256 over the header and every array's name, type, shape and bytes."""
    import numpy as np

    found = hashlib.sha256(json.dumps(head, sort_keys=True, ensure_ascii=True).encode("ascii"))
    for name in sorted(arrays):
        item = arrays[name]
        found.update(f"{name} {item.dtype.str} {item.shape}".encode())
        found.update(np.ascontiguousarray(item).data)
    return found.hexdigest()
