"""What all kinds of weights have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path


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
