"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msapipe.errors import ConfigError, MsapipeError


def check_free(path: Path, folder: bool = False) -> None:
    """Raise ConfigError if ``made_whole`` could not begin."""
    if path.is_dir() or (folder and path.exists()):
        raise ConfigError(f"{path}: is there already; remove it, or name another")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.absolute().parent} is not there; make it first")


@contextmanager
def made_whole(path: Path, folder: bool = False) -> Iterator[Path]:
    """A new folder beside ``path`` to work in; the file or folder ``made`` in it becomes ``path`` at the end.

    A file replaces an existing one; a folder (``folder``) replaces nothing and raises ConfigError at once.
    MsapipeError when something cannot be written; then nothing is left.
    """
    check_free(path, folder)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as work:
            yield Path(work)
            os.replace(Path(work) / "made", path)
    except MsapipeError:
        raise
    except OSError as error:
        raise MsapipeError(f"{path}: cannot be written: {error}") from error
