"""Finds the one file of numbers that a checkpoint is."""

from __future__ import annotations

from pathlib import Path

from msapipe.errors import WeightsError


def only_file(path: Path, endings: tuple[str, ...]) -> Path:
    """The path itself when it is a file, else the one file in the folder that has one of the endings.

    Raises WeightsError when the folder holds none or several.
    """
    if path.is_file():
        return path
    found = sorted(item for item in path.iterdir() if item.suffix in endings)
    if len(found) != 1:
        names = ", ".join(item.name for item in found) or "none"
        raise WeightsError(f"{path}: found {names}, expected one file ({', '.join(endings)}); name the file itself")
    return found[0]
