"""The interface of a data set: clips, with labels and a split if there are any."""

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

    labels: "M" and, if modalities were labelled separately, "T", "A", "V".   split: None when there is none.
    video: the video that it was cut from, "" for a file of its own; clips of one video are never in two splits.
    If videos are known to share a speaker, one name stands for all of them.
    """

    clip: Clip
    labels: Mapping[str, float] = field(default_factory=dict)
    split: Split | None = None
    video: str = ""


@dataclass(frozen=True)
class Refused:
    """An item of a data set that is not a clip.

    skipped: it was not meant as a clip (another kind of file); otherwise it is an error that the user should see.
    """

    path: Path
    reason: str
    skipped: bool


class DatasetReader(ABC):
    """Reads a data set from its root. The constructor reads nothing; iterating opens no video and stays in the root.

    scale: lowest and highest label, None without labels, or if they may have any scale.
    language: spoken language, as "en" or "zh"; None when unknown.
    notes: notes for the user on the whole data set, complete once everything was read.
    """

    scale: ClassVar[tuple[float, float] | None] = None
    language: ClassVar[str | None] = None

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder looks like this data set and no other; a folder that none recognises is a plain one."""
        return False

    @abstractmethod
    def read(self) -> Iterator[Example | Refused]:
        """Every example once, in a fixed order; refused items are reported, never dropped."""

    def refuse_outside(self, path: Path) -> Refused | None:
        """The refusal of a file below the root whose links lead outside it, so that it is not read; None for others."""
        if not leads_out(path, self.root):
            return None
        return Refused(path, f"a link that leads out of {self.root}; put the file itself there", skipped=False)
