"""Find the single weights file of a checkpoint."""

from __future__ import annotations

from pathlib import Path

from msapipe.errors import WeightsError


def only_file(path: Path, endings: tuple[str, ...]) -> Path:
    """The path itself if it is a file, else the only file in the folder with one of the suffixes.

    Raises WeightsError if the folder holds none or several.
    """
    if path.is_file():
        return path
    found = sorted(item for item in path.iterdir() if item.suffix in endings)
    if len(found) != 1:
        names = ", ".join(item.name for item in found) or "none"
        raise WeightsError(f"{path}: found {names}, expected one file ({', '.join(endings)}); name the file itself")
    return found[0]
