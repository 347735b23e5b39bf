"""Write a pickle of strings, integers and float32 arrays as a stream.

It emits the few opcodes needed (protocol 4) itself: an array may be larger than memory, and array types get names
that every numpy since 1.0 reads (numpy 2 writes names that numpy 1 does not know).
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray


class PlainPickle:
    """Writes one object: ``begin_dict``, then pairs of a key (``text``) and a value, ``end_dict``, and ``close``."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.write(pickle.PROTO + b"\x04")

    def begin_dict(self) -> None:
        """Begin a dictionary."""
        self._file.write(pickle.EMPTY_DICT + pickle.MARK)

    def end_dict(self) -> None:
        """End the dictionary begun last."""
        self._file.write(pickle.SETITEMS)

    def text(self, value: str) -> None:
        """Write one string."""
        data = value.encode("utf-8", "surrogatepass")
        self._file.write(pickle.BINUNICODE8 + len(data).to_bytes(8, "little") + data)

    def list_of(self, values: Iterable[str] | Iterable[int]) -> None:
        """Write a list of strings or integers."""
        self._file.write(pickle.EMPTY_LIST + pickle.MARK)
        for value in values:
            self.text(value) if isinstance(value, str) else self._number(value)
        self._file.write(pickle.APPENDS)

    def array(self, shape: tuple[int, ...], blocks: Iterable[NDArray[np.float32]]) -> None:
        """Write a float32 array of this shape; blocks are its rows in order. ValueError when they do not fill it."""
        size = 4 * math.prod(shape)
        self._name("numpy.core.multiarray", "_reconstruct")
        self._name("numpy", "ndarray")
        self._numbers((0,))
        self._file.write(pickle.SHORT_BINBYTES + b"\x01b" + pickle.TUPLE3 + pickle.REDUCE)
        self._file.write(pickle.MARK)
        self._number(1)
        self._numbers(shape)
        self._float32()
        self._file.write(pickle.NEWFALSE + pickle.BINBYTES8 + size.to_bytes(8, "little"))
        written = sum(self._file.write(np.ascontiguousarray(block, "<f4").tobytes()) for block in blocks)
        if written != size:
            raise ValueError(f"{written} bytes for an array of {size}")
        self._file.write(pickle.TUPLE + pickle.BUILD)

    def close(self) -> None:
        """End the pickle; the file stays open."""
        self._file.write(pickle.STOP)

    def _name(self, module: str, name: str) -> None:
        self._file.write(pickle.GLOBAL + f"{module}\n{name}\n".encode("ascii"))

    def _number(self, value: int) -> None:
        self._file.write(pickle.BININT + value.to_bytes(4, "little", signed=True))

    def _numbers(self, values: Iterable[int]) -> None:
        self._file.write(pickle.MARK)
        for value in values:
            self._number(value)
        self._file.write(pickle.TUPLE)

    def _float32(self) -> None:
        """Write the dtype, little-endian, as numpy does."""
        self._name("numpy", "dtype")
        self.text("f4")
        self._file.write(pickle.NEWFALSE + pickle.NEWTRUE + pickle.TUPLE3 + pickle.REDUCE + pickle.MARK)
        self._number(3)
        self.text("<")
        self._file.write(3 * pickle.NONE)
        for number in (-1, -1, 0):
            self._number(number)
        self._file.write(pickle.TUPLE + pickle.BUILD)
