"""Incoming clips: uploads of bounded size under fixed names, and paths that stay below a root."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

from msapipe.errors import MsapipeError
from msapipe.media import check_regular_file
from msapipe.media.regular import looks_like
from msapipe.report.marks import on_one_line

# Bytes at the start of a file that identify its kind.
_HEAD = 4096
# Characters of a name that are shown.
_LONGEST_NAME = 120


class WrongKind(MsapipeError):
    """The upload is neither video nor sound."""


class BadPath(MsapipeError):
    """A path that is not allowed."""


class NoSuchFile(BadPath):
    """A path below the root without a file."""


def shown_name(name: str | None) -> str:
    """The client's name for its file, fit to be shown; it is never used as a path."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    return on_one_line(last)[:_LONGEST_NAME] or "clip"


def keep_upload(source: BinaryIO, folder: Path, name: str) -> Path:
    """Write an upload into a folder of its own, under a fixed name.

    Raises WrongKind when it is empty, text, a playlist or an archive; the decoder checks everything else.
    """
    source.seek(0)
    head = source.read(_HEAD)
    if not head:
        raise WrongKind(f"{name}: the file is empty (0 bytes); send a video or sound file")
    kind = looks_like(head)
    if kind is not None:
        raise WrongKind(f"{name}: {kind}; send a video or sound file")
    source.seek(0)
    path = folder / "clip"
    with path.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    return path


def below_root(root: Path, asked: str) -> Path:
    """The file at a path relative to the root. Raises BadPath for anything else, even for links that lead out."""
    path = Path(asked)
    if "\0" in asked or path.is_absolute() or ".." in path.parts or not path.parts:
        raise BadPath("expected a path below the root, relative to it and without '..'")
    try:
        real = (root / path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise NoSuchFile(f"{shown_name(asked)}: there is no such file below the root") from None
    if not real.is_relative_to(root):
        raise BadPath(f"{shown_name(asked)}: it leads out of the root")
    try:
        check_regular_file(real)
    except MsapipeError as error:
        raise BadPath(str(error).replace(str(real), shown_name(asked))) from None
    return real
