"""Command-line arguments as clips: files, folders, globs, list files and standard input."""

from __future__ import annotations

import glob
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from msapipe.datasets import Example, Refused, reader_of
from msapipe.encodings import decode_text
from msapipe.errors import MediaError, MsapipeError
from msapipe.types import Clip

_LIST_SUFFIXES = (".txt", ".lst", ".list")
_GLOB = frozenset("*?[")


def find_clips(arguments: Iterable[str], dataset: str = "") -> Iterator[Example | Refused]:
    """Yield every clip that the arguments name, each stretch of a file once, in order.

    A file is taken whatever its name; a folder is read by the reader of its data set (``dataset``, else the one that
    recognises it, else all media files in it); a pattern in quotes is expanded (``**`` goes into folders); a text file
    (.txt, .lst, .list) holds one path per line, relative to its own folder; ``-`` reads such lines, or NUL-terminated
    paths, from standard input.
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
            if clip.id in ids:  # two folders may hold files of the same name
                longer = clip.path.as_posix() if not clip.start else f"{clip.path.as_posix()}@{clip.start:g}"
                found = replace(found, clip=replace(clip, id=longer))
            ids.add(found.clip.id)
            yield found


def _expand(argument: str, dataset: str) -> Iterator[Example | Refused]:
    path = Path(argument)
    if argument == "-":
        yield from _listed(sys.stdin.buffer.read(), Path("-"), Path(), dataset)
    elif os.path.isdir(path):
        yield from _folder(path, dataset)
    elif dataset:
        yield Refused(path, f"a data set ({dataset}) is read from a folder", skipped=False)
    elif path.suffix.lower() in _LIST_SUFFIXES and path.is_file() and (lines := _as_list(path)) is not None:
        yield from _listed(lines, path, path.parent, dataset)
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
    reader = reader_of(path, dataset)
    for item in reader.read():
        if isinstance(item, Example):  # checked whatever the reader, as users may write their own
            item = reader.refuse_outside(item.clip.path) or item
        empty = empty and not (isinstance(item, Example) or not item.skipped)
        yield item
    if empty:
        yield Refused(path, "a folder without any media file", skipped=False)


def _listed(data: bytes, source: Path, folder: Path, dataset: str) -> Iterator[Example | Refused]:
    """The clips that the lines of a list name; a line without a match is refused with its number."""
    try:
        lines = _lines(data)
    except MediaError as error:
        yield Refused(source, f"cannot be read as a list of paths: {error}", skipped=False)
        return
    for number, line in enumerate(lines, 1):
        if not line[-1].strip() or line[-1].startswith("#"):
            continue
        path = next((path for name in line if (path := _of_line(name, folder)) is not None), None)
        if path is None:
            yield Refused(source, f"line {number}: {line[-1]} names no file or folder that is there", skipped=False)
        elif path.name.startswith("._"):
            yield Refused(path, "what a Mac notes of the file beside it (AppleDouble), not a clip", skipped=True)
        else:
            yield from _expand(str(path), dataset)


def _lines(data: bytes) -> list[tuple[str, ...]]:
    """The lines of a list, each in the spellings that its name may have: the raw bytes, and decoded text."""
    text = None
    if b"\0" not in data or data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0\n" in data or b"\n\0" in data:
        try:
            text = decode_text(data, ("zh", "en"))[0].split("\n")
        except MediaError:
            if b"\0" in data:
                raise
    plain = [os.fsdecode(line).strip("\r\n") for line in data.split(b"\0" if text is None and b"\0" in data else b"\n")]
    if text is None:
        return [(line,) for line in plain]
    return list(zip(plain, text, strict=True)) if len(plain) == len(text) else [(line,) for line in text]


def _of_line(name: str, folder: Path) -> Path | None:
    """The file, folder or pattern that a line names: as written, or as other systems and programs would write it."""
    if "\0" in name:
        return None
    plain = name.strip()
    quoted = plain[1:-1] if len(plain) > 2 and plain[0] == plain[-1] and plain[0] in "\"'" else plain
    for written in dict.fromkeys((name, plain, quoted, quoted.replace("\\", "/"))):
        for path in (folder / form for form in dict.fromkeys((written, *_accents(written)))):
            if os.path.lexists(path) or (_GLOB & set(written) and glob.glob(str(path), recursive=True)):
                return path
    return None


def _accents(name: str) -> tuple[str, str]:
    """A name in NFC (composed accents) and in NFD (separate accents, as on Macs)."""
    return unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)


def _as_list(path: Path) -> bytes | None:
    """The bytes of a list file; None for a media file that is only named like a list."""
    try:
        data = path.read_bytes() if path.stat().st_size < 1 << 26 else b""
        return data if decode_text(data, ("zh", "en")) else None
    except (OSError, MediaError):
        return None


def only_clips(found: Iterable[Example | Refused]) -> Iterator[Clip]:
    """Yield the clips; raises at the first item that was meant as a clip but is none."""
    for item in found:
        if isinstance(item, Example):
            yield item.clip
        elif not item.skipped:
            raise MsapipeError(f"{item.path}: {item.reason}")
