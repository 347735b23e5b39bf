"""The file names of clips, and the media file that a row of a table names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from msapipe.safe_paths import leads_out

# Suffixes of clips. Files with other names can still be given explicitly.
MEDIA_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "wmv", "flv", "3gp", "ogv"),
        *("gif", "webp", "vob", "mxf", "wav", "flac", "mp3", "m4a", "aac", "ogg", "oga", "opus", "wma", "aif", "aiff"),
        *("amr", "caf"),
    )
)


def is_apple_double(name: str) -> bool:
    """Whether a Mac made the file (``._clip.mp4``) for metadata of another file, on a foreign disk."""
    return name.startswith("._")


def is_media(name: str) -> bool:
    """Whether a file is named like a clip."""
    return os.path.splitext(name)[1].lower() in MEDIA_SUFFIXES


class Files:
    """The media files below a root; each folder is listed once."""

    def __init__(self, root: Path) -> None:
        self.root, self.top = root, root.resolve()
        self._names: dict[Path, tuple[dict[str, str], list[str]]] = {}

    def find(self, places: Sequence[PurePosixPath]) -> Path:
        """The first existing file, with any media suffix if the name has none; raises ValueError.

        A name that differs in case or in Unicode normalisation (NFC, NFD) matches if it matches exactly one file.
        """
        places = [self._below(place) for place in places]
        for place in places:
            found = self._exact(place)
            if found is not None:
                return self._inside(found)
        for place in places:
            alike = self._alike(place, _folded)
            if len(alike) > 1:
                raise ValueError(f"{place} may be {' or '.join(path.name for path in alike[:2])}; write it as it is")
            if alike:
                return self._inside(alike[0])
        raise ValueError(f"there is no media file {' or '.join(map(str, places))}{self._hint(places)}")

    def _below(self, place: PurePosixPath) -> PurePosixPath:
        """A path relative to the root; raises ValueError when it leaves the root."""
        if PureWindowsPath(place).drive and not (self.root / place).exists():
            raise ValueError(f"{place} is a path of another machine; write it from {self.root} on")
        for root in (self.root.absolute(), self.top):
            if place.is_absolute() and Path(place).is_relative_to(root):
                place = PurePosixPath(Path(place).relative_to(root))
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(f"{place} leads out of {self.root}")
        return place

    def _inside(self, found: Path) -> Path:
        if leads_out(found, self.top):
            raise ValueError(f"{found} is a link that leads out of {self.root}")
        return found

    def _exact(self, place: PurePosixPath) -> Path | None:
        files, _ = self._listed(self.root / place.parent)
        name = files.get(place.name)
        return None if name is None else self.root / place.parent / name

    def _alike(self, place: PurePosixPath, spell: Callable[[str], str]) -> list[Path]:
        """Files whose path is the same after ``spell``."""
        folders = [self.root]
        for part in place.parts[:-1]:
            folders = [
                folder / name for folder in folders for name in self._listed(folder)[1] if spell(name) == spell(part)
            ]
        wanted = spell(place.name)
        found = {
            folder / file
            for folder in folders
            for name, file in self._listed(folder)[0].items()
            if spell(name) == wanted
        }
        return sorted(found)

    def _hint(self, places: Sequence[PurePosixPath]) -> str:
        """A hint on how a spreadsheet may have changed the name."""
        near = sorted({path for place in places for path in self._alike(place, _as_number)})
        if len(near) == 1:
            there = near[0].relative_to(self.root).as_posix()
            return (
                f"; {there} is there: a spreadsheet takes such names for numbers and cuts their zeros; "
                "make the column text and write them whole"
            )
        if any(re.fullmatch(r"\d([.,]\d+)?E\+?\d+", part, re.IGNORECASE) for place in places for part in place.parts):
            return "; a spreadsheet took the name for a number and rounded it; make the column text and write it whole"
        return ""

    def _listed(self, folder: Path) -> tuple[dict[str, str], list[str]]:
        """Names with and without suffix to the names of media files, and the names of folders."""
        if folder not in self._names:
            names = sorted(os.listdir(folder), reverse=True) if folder.is_dir() else []
            media = [name for name in names if is_media(name) and not is_apple_double(name)]
            files = {os.path.splitext(name)[0]: name for name in media} | {name: name for name in media}
            self._names[folder] = files, [name for name in names if name not in media]
        return self._names[folder]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _as_number(name: str) -> str:
    """A name as a spreadsheet or a table of floats writes it: 0001 and 1.0 become 1."""
    stem = os.path.splitext(name)[0] if is_media(name) else name
    number = re.fullmatch(r"0*(\d+)(?:\.0+)?", stem)
    return number.group(1) if number else _folded(stem)
