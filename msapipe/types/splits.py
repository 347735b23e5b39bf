"""Common names of data set splits."""

from __future__ import annotations

_NAMES = {
    "train": ("train", "training", "trn"),
    "valid": ("valid", "validation", "val", "dev", "devel", "development"),
    "test": ("test", "testing", "tst"),
}
_SPLITS = {name: split for split, names in _NAMES.items() for name in names}


def split_named(name: str) -> str | None:
    """train, valid or test for any of their names, in any case; None for another name."""
    return _SPLITS.get(name.strip().casefold())
