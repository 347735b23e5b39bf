"""What a data set is: clips, with labels and a split where there are any."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from msapipe.types import Clip

Split = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Example:
    """One clip of a data set.

    labels: "M" and, where modalities were labelled apart, "T", "A", "V".   split: None when there is none.
    """

    clip: Clip
    labels: Mapping[str, float] = field(default_factory=dict)
    split: Split | None = None


@dataclass(frozen=True)
class Refused:
    """Something that a data set holds and that is no clip.

    skipped: it is not meant as one (another kind of file); else it is an error that the user should see.
    """

    path: Path
    reason: str
    skipped: bool


class Reader(ABC):
    """Reads a data set from its root. Making one reads nothing; iterating opens no video.

    scale: lowest and highest label, None when it has no labels.
    """

    scale: tuple[float, float] | None = None

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def read(self) -> Iterator[Example | Refused]:
        """Every example once, in an order that is always the same; what is refused is told, never dropped."""
