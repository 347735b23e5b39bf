"""Clips as they come in: uploads of bounded size under names of our own, and paths that stay below a root."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

from msapipe.errors import MsapipeError
from msapipe.media import check_regular_file
from msapipe.media.regular import looks_like
from msapipe.report.marks import on_one_line

# Bytes of a file that say what it is.
_HEAD = 4096
# Letters of a name that are shown.
_LONGEST_NAME = 120


class WrongKind(MsapipeError):
    """What was sent is no video or sound."""


class BadPath(MsapipeError):
    """A path that may not be used."""


class NoSuchFile(BadPath):
    """A path below the root with nothing there."""


def shown_name(name: str | None) -> str:
    """The name that a client gave its file, fit to be shown; it is never a path here."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    return on_one_line(last)[:_LONGEST_NAME] or "clip"


def keep_upload(source: BinaryIO, folder: Path, name: str) -> Path:
    """Write what was sent into a folder of its own, under a fixed name.

    Raises WrongKind when it is empty, or text, or a playlist, or an archive; what else it is the decoder will say.
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
    """The file that a path relative to the root means. Raises BadPath for everything else, links that lead out too."""
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
