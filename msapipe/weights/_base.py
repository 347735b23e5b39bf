"""Base class of all weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Weights(ABC):
    """Parameters that a stage depends on.

    name: the common name.   licence: SPDX id, or the owner's wording.   source: where they come from.
    commercial: whether the licence allows every use; if not, it must be accepted once.
    """

    name: str
    licence: str
    source: str
    commercial: bool = True

    @property
    @abstractmethod
    def identity(self) -> str:
        """Identifies the bytes in a key, known without downloading them: a sha256 or a pinned revision."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """Total bytes, or None if unknown."""

    @abstractmethod
    def here(self) -> bool:
        """Whether they are on this machine; does not check the hash."""

    @abstractmethod
    def path(self) -> Path:
        """The local path; every hash is checked once per process.

        Raises MissingWeights if they are not on this machine, WeightsError if a hash is wrong.
        """
