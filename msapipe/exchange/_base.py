"""What a file format is: it writes the features of many clips to one file, and reads them back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from msapipe.types import Sample


class Exchange(ABC):
    """suffixes: endings of file names that say this format, with the dot.   writes: whether it can be written."""

    suffixes: ClassVar[tuple[str, ...]]
    writes: ClassVar[bool] = True

    @abstractmethod
    def write(self, path: Path, samples: Iterable[Sample], made_by: Mapping[str, Any] | None = None) -> int:
        """Write every sample, whole or not at all; returns how many.

        made_by: what the features depend on, in the form of a model card (``msapipe.pipeline.card.signature``).
        """

    @abstractmethod
    def read(self, path: Path) -> Iterator[Sample]:
        """The samples of a file in the order in which they were written; raises MsapipeError when it is damaged."""

    def made_by(self, path: Path) -> dict[str, Any]:
        """What the features depend on, as far as the format can hold it; {} when it says nothing."""
        return {}
