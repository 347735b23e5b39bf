"""Word vectors in GloVe's text format: the file stays on disk, and an index gives the position of each word."""

from __future__ import annotations

import hashlib
import os
import shutil
from array import array
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import WeightsError
from msapipe.weights import Weights, weights_folder

_PROBED = 1000  # lines used to detect the width: some tokens contain spaces, but not all


class WordVectors:
    """A text file with a line "token number number ..." per word; only requested lines are read."""

    def __init__(self, text: Path, index: NDArray[np.uint64]) -> None:
        self.text, self._hashes, self._offsets = text, index[0], index[1]
        with text.open("rb") as file:
            self.width = _width(file, text)

    def __len__(self) -> int:
        return len(self._hashes)

    def of(self, tokens: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors, (width,) each, of the tokens in the file; raises WeightsError for a damaged line."""
        found = {}
        with self.text.open("rb") as file:
            for token in tokens:
                name = _hash(token.encode("utf-8", "surrogatepass"))
                at = int(np.searchsorted(self._hashes, np.uint64(name)))
                if at == len(self._hashes) or self._hashes[at] != name:
                    continue
                file.seek(int(self._offsets[at]))
                word, numbers = _parse(file.readline(), self.width, self.text)
                if word == token.encode("utf-8", "surrogatepass"):  # otherwise a hash collision
                    found[token] = numbers
        return found


def open_vectors(weights: Weights) -> WordVectors:
    """Open a .txt, or a .zip that holds one; index and unpacked text are kept in the weights folder.

    The first time, the file is unpacked and read once, which takes minutes for five gigabytes; other processes wait.
    Raises WeightsError for another format, or if the weights folder cannot be written.
    """
    source = weights.path()
    if not source.is_file():
        raise WeightsError(f"{source} is a folder; name the .txt or .zip with the vectors itself")
    folder = weights_folder() / "word-vectors" / hashlib.sha256(weights.identity.encode()).hexdigest()[:16]
    try:
        if not folder.is_dir():
            _build(source, folder)
        unpacked = folder / "vectors.txt"
        index = np.load(folder / "index.npy", mmap_mode="r", allow_pickle=False)
        return WordVectors(unpacked if unpacked.is_file() else source, index)
    except OSError as error:
        raise WeightsError(
            f"the index of {weights.name} cannot be kept in {folder}: {error.strerror or error}; "
            "name another folder with MSAPIPE_WEIGHTS, or free space"
        ) from error


def _build(source: Path, folder: Path) -> None:
    """Build the folder atomically, one process at a time."""
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if folder.is_dir():  # another process was faster
            return
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            np.save(part / "index.npy", _index(_unpack(source, part) if is_zipfile(source) else source))
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _unpack(source: Path, folder: Path) -> Path:
    try:
        with ZipFile(source) as archive:
            names = [name for name in archive.namelist() if name.endswith(".txt")]
            if len(names) != 1:
                raise WeightsError(
                    f"{source} holds {len(names)} .txt ({', '.join(names) or 'none'}), expected one; "
                    "unpack it and name the file"
                )
            with archive.open(names[0]) as packed, (folder / "vectors.txt").open("wb") as text:
                shutil.copyfileobj(packed, text, 1 << 20)
    except BadZipFile as error:
        raise WeightsError(f"{source} is damaged: {error}; get it again") from error
    return folder / "vectors.txt"


def _index(text: Path) -> NDArray[np.uint64]:
    """Hash of each word, sorted, and the offset of its line: (2, N); of equal words the first one counts."""
    hashes, offsets = array("Q"), array("Q")
    with text.open("rb") as file:
        width = _width(file, text)
        at = 0
        for number, line in enumerate(file, 1):
            spaces = line.rstrip().count(b" ")
            if spaces >= width:
                # A token with spaces is split off from the right, which takes longer.
                word = line[: line.index(b" ")] if spaces == width else line.rstrip().rsplit(b" ", width)[0]
                hashes.append(_hash(word))
                offsets.append(at)
            elif number > 1 or not _is_header(line):
                raise WeightsError(f"{text}: line {number} holds {spaces} numbers, expected {width} after a word")
            at += len(line)
    unique, first = np.unique(np.frombuffer(hashes, np.uint64), return_index=True)
    return np.stack([unique, np.frombuffer(offsets, np.uint64)[first]])


def _width(file: BinaryIO, text: Path) -> int:
    """Numbers per line; rewinds the file."""
    lines = [line.rstrip() for line in islice(file, _PROBED)]
    file.seek(0)
    width = min((line.count(b" ") for line in lines[bool(lines) and _is_header(lines[0]) :]), default=0)
    if width < 2:
        raise WeightsError(f"{text} holds no word vectors; expected lines of a word and its numbers, as GloVe has them")
    return width


def _is_header(line: bytes) -> bool:
    """Whether it is the header "words width" that other programs write."""
    fields = line.split()
    return len(fields) == 2 and all(field.isdigit() for field in fields)


def _parse(line: bytes, width: int, text: Path) -> tuple[bytes, NDArray[np.float32]]:
    word, *fields = line.rstrip().rsplit(b" ", width)
    try:
        numbers = np.array([float(field) for field in fields], np.float32)
    except ValueError as error:
        raise WeightsError(f"{text}: the line of {word.decode('utf-8', 'replace')!r}: {error}") from error
    if not np.isfinite(numbers).all():
        raise WeightsError(f"{text}: the line of {word.decode('utf-8', 'replace')!r} holds NaN or infinity")
    return word, numbers


def _hash(word: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
