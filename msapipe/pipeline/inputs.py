"""What a user named on a command line, as clips: files, folders, globs, list files and standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from msapipe.datasets import Example, Refused, reader_of
from msapipe.errors import MsapipeError
from msapipe.types import Clip

_LIST_SUFFIXES = (".txt", ".lst", ".list")
_GLOB = frozenset("*?[")


def find_clips(arguments: Iterable[str], dataset: str = "") -> Iterator[Example | Refused]:
    """Every clip that the arguments name, each stretch of a file once, in order.

    A file is taken as it is, whatever its name; a folder is read by the reader of its data set (``dataset``, else the
    one that recognises it, else all media files in it); a pattern in quotes is expanded (``**`` goes
    into folders); a text file (.txt, .lst, .list) holds one path a line, relative to the folder that it lies in;
    ``-`` reads such lines, or paths ended by NUL bytes, from standard input.
    """
    seen: set[tuple[str, float, float | None]] = set()
    ids: set[str] = set()
    for argument in arguments:
        for found in _expand(argument, dataset):
            if isinstance(found, Refused):
                yield found
                continue
            clip = found.clip
            stretch = (os.path.abspath(clip.path), clip.start, clip.end)
            if stretch in seen:
                continue
            seen.add(stretch)
            if clip.id in ids:  # two folders may hold a file of one name
                longer = clip.path.as_posix() if not clip.start else f"{clip.path.as_posix()}@{clip.start:g}"
                found = replace(found, clip=replace(clip, id=longer))
            ids.add(found.clip.id)
            yield found


def _expand(argument: str, dataset: str) -> Iterator[Example | Refused]:
    path = Path(argument)
    if argument == "-":
        yield from _listed(sys.stdin.buffer.read(), Path(), dataset)
    elif os.path.isdir(path):
        yield from _folder(path, dataset)
    elif dataset:
        yield Refused(path, f"a data set ({dataset}) is read from a folder", skipped=False)
    elif path.suffix.lower() in _LIST_SUFFIXES and path.is_file() and (lines := _as_list(path)) is not None:
        yield from _listed(lines, path.parent, dataset)
    elif not os.path.lexists(path) and _GLOB & set(argument):
        matches = sorted(glob.glob(argument, recursive=True))
        if not matches:
            yield Refused(path, "no file fits this pattern", skipped=False)
        for match in matches:
            yield from _expand(match, dataset)
    else:
        yield Example(Clip(path.name or argument, path))


def _folder(path: Path, dataset: str) -> Iterator[Example | Refused]:
    empty = True
    for item in reader_of(path, dataset).read():
        empty = empty and not (isinstance(item, Example) or not item.skipped)
        yield item
    if empty:
        yield Refused(path, "a folder without any media file", skipped=False)


def _listed(data: bytes, folder: Path, dataset: str) -> Iterator[Example | Refused]:
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    for line in lines:
        name = os.fsdecode(line.removeprefix(b"\xef\xbb\xbf")).strip("\r\n")
        if not name.strip() or name.startswith("#"):
            continue
        path = Path(name)
        yield from _expand(str(path if path.is_absolute() else folder / path), dataset)


def _as_list(path: Path) -> bytes | None:
    """The bytes of a list file; None when it is a media file that only is named like a list."""
    try:
        data = path.read_bytes() if path.stat().st_size < 1 << 26 else b"\0"
        data.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return None if b"\0" in data else data


def only_clips(found: Iterable[Example | Refused]) -> Iterator[Clip]:
    """The clips; raises at the first thing that is none and was meant as one."""
    for item in found:
        if isinstance(item, Example):
            yield item.clip
        elif not item.skipped:
            raise MsapipeError(f"{item.path}: {item.reason}")
