"""What a file format is: it writes the features of many clips to one file, and reads them back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from msapipe.types import FeatureSequence

ClipFeatures = tuple[str, Mapping[str, FeatureSequence]]


class Exchange(ABC):
    """suffixes: endings of file names that say this format, with the dot."""

    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def write(self, path: Path, clips: Iterable[ClipFeatures]) -> int:
        """Write (clip id, features by modality) of every clip, whole or not at all; returns how many."""

    @abstractmethod
    def read(self, path: Path) -> Iterator[ClipFeatures]:
        """The clips of a file in the order in which they were written; raises MsapipeError when it is damaged."""
