"""Weights that are installed already: a file of a package, or of msapipe itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from msapipe.errors import WeightsError
from msapipe.resources import bundled
from msapipe.weights._base import Weights
from msapipe.weights.folder import check_hash, sha256_of


@dataclass(frozen=True, kw_only=True)
class Installed(Weights, ABC):
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

    def path(self) -> Path:
        """The file."""
        return checked(self)

    @abstractmethod
    def expected(self) -> tuple[Path, str, str]:
        """Where the file should be, what to reinstall if it is not, and of which version if it is another one."""


@dataclass(frozen=True, kw_only=True)
class InPackage(Installed):
    """A file that an installed package carries: ``file`` is its path in ``package``."""

    package: str

    @property
    def install(self) -> str:
        """The command that installs the package."""
        return f"uv pip install {self.package.replace('_', '-')}"

    def here(self) -> bool:
        """Whether the package is installed."""
        return find_spec(self.package) is not None

    def expected(self) -> tuple[Path, str, str]:
        """See Installed."""
        spec = find_spec(self.package)
        folders = list(spec.submodule_search_locations or []) if spec else []
        if not folders:
            raise WeightsError(
                f"{self.name}: the package {self.package} that carries them is not installed; type: {self.install}"
            )
        return Path(folders[0]) / self.file, self.package.replace("_", "-"), " in the version that msapipe pins"


@dataclass(frozen=True, kw_only=True)
class Bundled(Installed):
    """A file that msapipe carries: models/``name``/``file``, beside its card and the program that trained it."""

    def here(self) -> bool:
        """Whether the file is there."""
        return self.expected()[0].is_file()

    def expected(self) -> tuple[Path, str, str]:
        """See Installed."""
        return bundled("models") / self.name / self.file, "msapipe", ""


@cache
def checked(weights: Installed) -> Path:
    """The file, its hash checked once per process; raises WeightsError."""
    path, package, version = weights.expected()
    if not path.is_file():
        raise WeightsError(f"{weights.name}: {path} is missing; reinstall {package}")
    check_hash(f"{weights.name}: {path}", sha256_of(path), weights.sha256, f"reinstall {package}{version}")
    return path
