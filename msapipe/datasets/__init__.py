"""Readers of data sets. One module per data set; its name is the name of the reader."""

from pathlib import Path

from msapipe.datasets._base import DatasetReader, Example, Refused, Split
from msapipe.datasets._columns import LABELS
from msapipe.datasets._lines import Unreadable
from msapipe.datasets._rows import Row, rows
from msapipe.registry import Registry

READERS: Registry[DatasetReader] = Registry(
    "data set",
    __name__,
    DatasetReader,  # type: ignore[type-abstract]  # the registry hands out classes, it makes none
    "msapipe.datasets",
)


def reader_of(root: Path, name: str = "") -> DatasetReader:
    """The reader called ``name``, or the one that recognises the folder; otherwise a plain folder of clips."""
    if name:
        return READERS.get(name)(root)
    for known in READERS.where():
        cls = READERS.get(known)
        if cls.recognises(root):
            return cls(root)
    return READERS.get("folder")(root)


__all__ = [
    "LABELS",
    "READERS",
    "DatasetReader",
    "Example",
    "Refused",
    "Row",
    "Split",
    "Unreadable",
    "reader_of",
    "rows",
]
