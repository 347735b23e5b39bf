"""One computational sequence of the CMU Multimodal SDK: an HDF5 file of features with intervals in seconds.

``/<root>/data/<entry>/features`` (T, ...) and ``/intervals`` (T, 2); ``/<root>/metadata/<key>``, one JSON text each.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.documents import read_json
from msapipe.errors import MissingLibrary, MsapipeError
from msapipe.safe_paths import member

# Times by which packing makes an array smaller, at most (deflate: 1032).
_PACKED = 1100
OWN = "msapipe"  # key of the metadata that only msapipe reads
# The metadata keys that the SDK requires.
REQUIRED = (
    "root name",
    "computational sequence description",
    "dimension names",
    "computational sequence version",
    "alignment compatible",
    "dataset name",
    "dataset version",
    "creator",
    "contact",
    "featureset bib citation",
    "dataset bib citation",
)
# The SDK's list lacks a comma, so that it requires these two as one key.
_FUSED = "dimension namescomputational sequence version"


def library() -> Any:
    """h5py; raises MissingLibrary."""
    try:
        import h5py
    except ImportError as error:
        raise MissingLibrary('.csd needs a package; type: uv pip install "msapipe[csd]"') from error
    return h5py


class CsdWriter:
    """Writes one sequence: ``add`` its entries, ``finish`` it with its metadata, then ``close`` it."""

    def __init__(self, file: Path, root: str) -> None:
        self._file = library().File(file, "w")
        self._root = root
        self._group = self._file.create_group(root)
        self._data = self._group.create_group("data", track_order=True)

    def add(self, entry: str, features: NDArray[Any], intervals: NDArray[np.float64]) -> None:
        """features (T, D) and intervals (T, 2), in seconds."""
        group = self._data.create_group(entry)
        group.create_dataset("features", data=features)
        group.create_dataset("intervals", data=intervals)

    def finish(self, about: Mapping[str, Any]) -> None:
        """Write the metadata in ``about``; other keys that the SDK requires are added empty."""
        h5py = library()
        metadata: dict[str, Any] = dict.fromkeys(REQUIRED, "")
        metadata |= {"root name": self._root, "computational sequence version": "1.0", "alignment compatible": True}
        metadata |= {"creator": "msapipe", "uuid": str(uuid.uuid4()), "md5": None, **about}
        metadata[_FUSED] = metadata["dimension names"]
        group = self._group.create_group("metadata")
        for key, value in metadata.items():
            group.create_dataset(key, data=[json.dumps(value)], shape=(1,), dtype=h5py.string_dtype())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def unlooked(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A file's group of entries and its metadata, read as the SDK does; MsapipeError for any other file.

    A damaged file may make the library hang or crash: see ``_csd_look.opened``.
    """
    h5py = library()
    try:
        with h5py.File(path, "r") as file:
            root = next(iter(file), None)
            top = member(file, root) if root is not None else {}
            if not {"data", "metadata"} <= set(top):
                raise MsapipeError(
                    f"{path}: not a computational sequence: expected the groups ROOT/data and ROOT/metadata"
                )
            about = member(top, "metadata")
            metadata = {key: _json(array_of(about, key)) for key in about}
            yield member(top, "data"), {"root name": root, **metadata}
    except (OSError, ValueError, LookupError, RuntimeError, TypeError) as error:  # raised by h5py for damaged files
        if isinstance(error, MsapipeError):
            raise
        raise MsapipeError(f"{path}: not an HDF5 file, or a damaged one: {error}") from error


def _json(value: Any) -> Any:
    """Newer files hold JSON, older ones plain text."""
    text = value[0]
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    try:
        return read_json(text)
    except ValueError:
        return text


def array_of(group: Any, name: str) -> Any:
    """A dataset, not read yet; ValueError if it is none, or larger than its file can hold; chunks may be packed."""
    found = member(group, name)
    if not hasattr(found, "nbytes"):
        raise ValueError(f"{name} is a group, not an array")
    if found.nbytes > (1 if found.chunks is None else _PACKED) * found.file.id.get_filesize():
        raise ValueError(f"{name} claims to be {found.nbytes / 1e9:.1f} GB large, which this file cannot hold")
    return found


@contextmanager
def refused(path: Path, entry: str) -> Iterator[None]:
    """MsapipeError, naming the entry, in place of what h5py raises for a damaged one."""
    try:
        yield
    except (OSError, ValueError, LookupError, RuntimeError, TypeError) as error:
        raise MsapipeError(f"{path}: {entry}: expected features and intervals: {error}") from error


def entry_of(path: Path, data: Any, entry: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Features (T, D), of any type, and intervals (T, 2); raises MsapipeError naming the invalid entry."""
    with refused(path, entry):
        group = member(data, entry)
        features = np.asarray(array_of(group, "features"))
        intervals = np.asarray(array_of(group, "intervals"), np.float64)
    if features.ndim < 2 or intervals.shape != (len(features), 2):
        raise MsapipeError(
            f"{path}: {entry}: expected features (T, D) and intervals (T, 2), "
            f"found {features.shape} and {intervals.shape}"
        )
    return features.reshape(len(features), math.prod(features.shape[1:])), intervals
