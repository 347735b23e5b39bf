"""What a data set is: clips, with labels and a split where there are any."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from msapipe.safe_paths import leads_out
from msapipe.types import Clip

Split = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Example:
    """One clip of a data set.

    labels: "M" and, where modalities were labelled apart, "T", "A", "V".   split: None when there is none.
    video: what it was cut from, "" when it is a file of its own; clips of one video are never in two splits.
    Of videos that share a speaker, where that is known, one stands for all.
    """

    clip: Clip
    labels: Mapping[str, float] = field(default_factory=dict)
    split: Split | None = None
    video: str = ""


@dataclass(frozen=True)
class Refused:
    """Something that a data set holds and that is no clip.

    skipped: it is not meant as one (another kind of file); else it is an error that the user should see.
    """

    path: Path
    reason: str
    skipped: bool


class DatasetReader(ABC):
    """Reads a data set from its root. Making one reads nothing; iterating opens no video, and nothing outside the root.

    scale: lowest and highest label, None when it has no labels, or when they may have any scale.
    language: of what is said, as "en" or "zh"; None when not known.
    notes: what a user should know of the whole, once everything was read.
    """

    scale: ClassVar[tuple[float, float] | None] = None
    language: ClassVar[str | None] = None

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder looks like this data set, and like no other; where none does, it is a plain folder."""
        return False

    @abstractmethod
    def read(self) -> Iterator[Example | Refused]:
        """Every example once, in an order that is always the same; what is refused is told, never dropped."""

    def refuse_outside(self, path: Path) -> Refused | None:
        """What to say of a file below the root that, links followed, lies outside it and so is not read, or None."""
        if not leads_out(path, self.root):
            return None
        return Refused(path, f"a link that leads out of {self.root}; put the file itself there", skipped=False)
