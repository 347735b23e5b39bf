"""What a user named on a command line, as clips: files, folders, globs, list files and standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from msapipe.datasets import READERS, Example, Refused
from msapipe.errors import MsapipeError
from msapipe.types import Clip

_LIST_SUFFIXES = (".txt", ".lst", ".list")
_GLOB = frozenset("*?[")


def find_clips(arguments: Iterable[str]) -> Iterator[Clip | Refused]:
    """Every clip that the arguments name, each file once, in order.

    A file is taken as it is, whatever its name; a folder is walked; a pattern in quotes is expanded (``**`` goes
    into folders); a text file (.txt, .lst, .list) holds one path a line, relative to the folder that it lies in;
    ``-`` reads such lines, or paths ended by NUL bytes, from standard input.
    """
    seen: set[str] = set()
    ids: set[str] = set()
    for argument in arguments:
        for found in _expand(argument):
            if isinstance(found, Refused):
                yield found
                continue
            named = os.path.abspath(found.path)
            if named in seen:
                continue
            seen.add(named)
            if found.id in ids:  # two folders may hold a file of one name
                found = Clip(found.path.as_posix(), found.path)
            ids.add(found.id)
            yield found


def _expand(argument: str) -> Iterator[Clip | Refused]:
    path = Path(argument)
    if argument == "-":
        yield from _listed(sys.stdin.buffer.read(), Path())
    elif os.path.isdir(path):
        yield from _folder(path)
    elif path.suffix.lower() in _LIST_SUFFIXES and path.is_file() and (lines := _as_list(path)) is not None:
        yield from _listed(lines, path.parent)
    elif not os.path.lexists(path) and _GLOB & set(argument):
        matches = sorted(glob.glob(argument, recursive=True))
        if not matches:
            yield Refused(path, "no file fits this pattern", skipped=False)
        for match in matches:
            yield from _expand(match)
    else:
        yield Clip(path.name or argument, path)


def _folder(path: Path) -> Iterator[Clip | Refused]:
    empty = True
    for item in READERS.get("folder")(path).read():
        if isinstance(item, Example):
            empty = False
            yield item.clip
        else:
            yield item
    if empty:
        yield Refused(path, "a folder without any media file", skipped=False)


def _listed(data: bytes, folder: Path) -> Iterator[Clip | Refused]:
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    for line in lines:
        name = os.fsdecode(line.removeprefix(b"\xef\xbb\xbf")).strip("\r\n")
        if not name.strip() or name.startswith("#"):
            continue
        path = Path(name)
        yield from _expand(str(path if path.is_absolute() else folder / path))


def _as_list(path: Path) -> bytes | None:
    """The bytes of a list file; None when it is a media file that only is named like a list."""
    try:
        data = path.read_bytes() if path.stat().st_size < 1 << 26 else b"\0"
        data.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return None if b"\0" in data else data


def only_clips(found: Iterable[Clip | Refused]) -> Iterator[Clip]:
    """The clips; raises at the first thing that is none and was meant as one."""
    for item in found:
        if isinstance(item, Clip):
            yield item
        elif not item.skipped:
            raise MsapipeError(f"{item.path}: {item.reason}")
