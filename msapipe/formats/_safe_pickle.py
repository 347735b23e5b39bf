"""Reads a pickle without running anything in it: arrays, text, numbers, and lists and dictionaries of them only."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from msapipe.errors import MsapipeError

# All that such a file may name. Everything else, and so every piece of code, is refused.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Only what makes numpy arrays, and ordered dictionaries."""
        if (module, name) not in _ALLOWED:
            raise MsapipeError(f"it names {module}.{name}: a feature file holds arrays, text and numbers, never code")
        return super().find_class(module, name)


def load(path: Path) -> Any:
    """What the file holds; raises MsapipeError.

    The texts of Python 2 are bytes: where they are not ASCII they are read as Latin-1, which ``as_text`` mends.
    """
    try:
        try:
            return _load(path, "ASCII")
        except UnicodeDecodeError:
            return _load(path, "latin1")
    except MsapipeError as error:
        raise MsapipeError(f"{path}: refused: {error}") from error
    except Exception as error:  # a damaged pickle fails in ways of its own
        raise MsapipeError(f"{path}: not a pickle of MMSA: {type(error).__name__}: {error}") from error


def _load(path: Path, encoding: str) -> Any:
    with path.open("rb") as file:
        return _Reader(file, encoding=encoding).load()


def as_text(value: Any) -> str:
    """A text, bytes or a number as text; raises ValueError for anything else."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("latin1")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} in place of a text")
    try:  # UTF-8 that was read byte by byte
        return value.encode("latin1").decode("utf-8")
    except UnicodeError:
        return value.encode("utf-8", "replace").decode("utf-8")  # half of a pair is no letter
