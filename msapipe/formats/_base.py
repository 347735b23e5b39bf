"""The interface of a file format: it writes the features of many clips, whole or not at all, and reads them back."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from msapipe.errors import ConfigError, MsapipeError
from msapipe.types import Sample


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


class Format(ABC):
    """suffixes: of file names in this format, with the dot.   writes: whether it can be written.

    folder: whether it writes a folder, which never replaces anything.
    loses: what does not survive writing and reading, to the reason: times, valid, names, channels, notes, labels,
    split, video, text, tokens, made_by (see ``Sample`` and ``FeatureSequence``).
    notes: notes for the user on the last file read, complete once it was read to its end.
    """

    suffixes: ClassVar[tuple[str, ...]]
    writes: ClassVar[bool] = True
    folder: bool = False
    loses: ClassVar[Mapping[str, str]] = {}
    notes: tuple[str, ...] = ()

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether a folder of any name holds files of this format."""
        return False

    def check(self, path: Path, bare: Iterable[Sample] = ()) -> None:
        """Raise the errors of ``write`` that show before features are computed.

        bare: the samples without features. ConfigError for a name that is taken or a missing folder, MissingLibrary,
        MsapipeError for samples that the format cannot hold.
        """
        check_free(path, self.folder)

    @abstractmethod
    def write(self, path: Path, samples: Iterable[Sample], made_by: Mapping[str, Any] | None = None) -> int:
        """Write every sample, all or nothing; returns their number.

        made_by: what the features depend on, in the form of a model card (``msapipe.pipeline.card.signature``).
        """

    @abstractmethod
    def read(self, path: Path) -> Iterator[Sample]:
        """The samples of a file in the order of writing; raises MsapipeError when it is damaged."""

    def made_by(self, path: Path) -> dict[str, Any]:
        """What the features depend on, as far as the format can hold it; {} if the file does not say."""
        return {}
