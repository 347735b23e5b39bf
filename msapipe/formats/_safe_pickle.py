"""Read a pickle without running any code in it: only arrays, text, numbers, and lists and dictionaries of them.

Not even numpy's own functions are called: damaged states make them change shared numpy types, or leak foreign
memory. Placeholders stand for arrays; they are checked here and become arrays once everything is read.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from msapipe.errors import MsapipeError

# Booleans, numbers, strings of fixed length and objects; with or without a byte order.
_KIND = re.compile(r"([<>=|]?)([?bBhHiIlLqQefdgOSU]|[biuf][1248]|f16|O[48]|[SU]\d{1,9})")
_ORDERS = ("<", ">", "=", "|")


class _Type:
    """Placeholder for a numpy dtype: ``dtype("f4", False, True)``, then a state with the byte order."""

    def __init__(self, kind: object, *_: object) -> None:
        found = _KIND.fullmatch(kind) if isinstance(kind, str) else None
        if found is None:
            raise ValueError(f"{kind!r} is no type of plain arrays")
        self._order, self._kind = found.groups()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self._order, part, names, fields = state[:5]
        if self._order not in _ORDERS or (part, names, fields) != (None, None, None):
            raise ValueError("it holds arrays of records")

    def made(self) -> np.dtype[Any]:
        """The dtype."""
        return np.dtype(self._order + self._kind)


class _Class:
    """Placeholder for the array class, which is only ever named."""


class _Array:
    """Placeholder for an array: created empty, then set to (version, shape, type, column order, bytes or objects)."""

    shape: tuple[int, ...] = (0,)
    type: _Type | None = None
    by_columns = False
    content: bytes | list[Any] = b""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, self.type, self.by_columns, content = state[-4:]
        if not all(type(size) is int and 0 <= size < 2**40 for size in shape):
            raise ValueError(f"an array of the shape {shape}")
        self.shape = tuple(shape)
        # Python 2 pickles bytes as text.
        self.content = content.encode("latin1") if isinstance(content, str) else content

    def made(self, plain: _Plain) -> np.ndarray[Any, Any]:
        """The array; it shares the pickle's bytes, so it is read-only."""
        if self.type is None:
            raise ValueError("an array without a type")
        kind, order = self.type.made(), "F" if self.by_columns else "C"
        if kind.hasobject:
            if not isinstance(self.content, list) or len(self.content) != math.prod(self.shape):
                raise ValueError(f"an array of objects of the shape {self.shape} without as many objects")
            objects = np.empty(len(self.content), object)
            for number, value in enumerate(self.content):
                objects[number] = plain.of(value)
            return objects.reshape(self.shape, order=order)  # type: ignore[call-overload, no-any-return]
        if not isinstance(self.content, bytes | bytearray) or len(self.content) != kind.itemsize * math.prod(
            self.shape
        ):
            raise ValueError(f"an array of the shape {self.shape} with {len(self.content)} bytes")
        flat = np.frombuffer(bytes(self.content), kind) if self.content else np.zeros(0, kind)
        return flat.reshape(self.shape, order=order)  # type: ignore[call-overload, no-any-return]


class _Number:
    """Placeholder for a numpy scalar: its type and its bytes."""

    def __init__(self, kind: _Type, content: bytes | str) -> None:
        self._array = _Array()
        self._array.__setstate__(((1,), kind, False, content))

    def made(self, plain: _Plain) -> Any:
        """The number."""
        return self._array.made(plain)[0]


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _from_buffer(content: object, kind: _Type, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.__setstate__((shape, kind, order == "F", content))
    return array


def _encode(text: str, encoding: str) -> bytes:
    """Bytes as protocol 2 stores them."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes in {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Empty bytes as protocol 2 stores them."""
    return b""


# All names that a file may use, and what is called instead. Everything else is refused, so no code can run.
_ALLOWED = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Number for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
    ("numpy", "ndarray"): _Class,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): OrderedDict,
}


class _ByteString(str):
    """A string of Python 2, which is bytes: each byte as a character (Latin-1)."""

    __slots__ = ()


class _Reader(pickle._Unpickler):
    """Python's own unpickler. The one in C takes 30 GB for a damaged file of a hundred bytes, as it allocates memory
    for as many memorised objects as the file claims to have.
    """

    # Read bytearrays as bytes: for a bytearray, memory is allocated before its bytes are known to exist.
    dispatch: ClassVar = pickle._Unpickler.dispatch | {
        pickle.BYTEARRAY8[0]: pickle._Unpickler.dispatch[pickle.BINBYTES8[0]]
    }

    def find_class(self, module: str, name: str) -> Any:
        """Placeholders for numpy's classes and functions, and ordered dictionaries."""
        if (module, name) not in _ALLOWED:
            raise MsapipeError(f"it names {module}.{name}: a feature file holds arrays, text and numbers, never code")
        return _ALLOWED[module, name]

    def _decode_string(self, value: bytes) -> str:
        return _ByteString(value.decode("latin1"))


class _Plain:
    """Replaces placeholders by arrays, each only once, however often it is referenced."""

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        """The value with real arrays; lists and dictionaries are changed in place."""
        if not isinstance(value, _Array | _Number | list | tuple | dict):
            return value
        if id(value) in self._done:
            return self._done[id(value)]
        if isinstance(value, list | dict):
            self._done[id(value)] = value
            for key, item in list(enumerate(value) if isinstance(value, list) else value.items()):
                value[key] = self.of(item)
            return value
        made = value.made(self) if isinstance(value, _Array | _Number) else tuple(map(self.of, value))
        self._done[id(value)] = made
        return made


def read_plain(path: Path) -> Any:
    """The content of a file; raises MsapipeError."""
    try:
        with path.open("rb") as file:
            return _Plain().of(_Reader(file).load())
    except MsapipeError as error:
        raise MsapipeError(f"{path}: refused: {error}") from error
    except Exception as error:  # damaged pickles raise all kinds of errors
        raise MsapipeError(f"{path}: not a pickle of MMSA: {type(error).__name__}: {error}") from error


def as_text(value: Any) -> str:
    """A text, bytes (UTF-8, else Latin-1) or a number as text; raises ValueError for anything else."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, bytes):
        value = _ByteString(value.decode("latin1"))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} in place of a text")
    if isinstance(value, _ByteString):
        with suppress(UnicodeError):
            return value.encode("latin1").decode("utf-8")
    return value.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate is no character
