"""A folder with label.csv (or label.parquet): one line per clip, at Raw/<video_id>/<clip_id>.mp4 or the given path."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import cast

from msapipe.datasets._base import DatasetReader, Example, Refused, Split
from msapipe.datasets._files import Files
from msapipe.datasets._rows import Row, rows
from msapipe.documents import shown
from msapipe.types import Clip

TABLES = ("label.csv", "labels.csv", "label.tsv", "label.parquet", "labels.parquet")


class Table(DatasetReader):
    """The clips of a table's lines, in their order; for the columns see ``rows``.

    A clip's file is ``file`` if given, else Raw/video_id/clip_id or video_id/clip_id below the root, with any media
    suffix. With ``start`` or ``end`` it is a stretch of Raw/video_id, which is not cut. The clip's id is
    "video_id/clip_id". Refused with their line number: unreadable lines, duplicate clips, missing files, labels outside
    ``scale``, and paths that lead out of the root.
    """

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the folder has such a table."""
        return cls is Table and _table_of(root) is not None

    def read(self) -> Iterator[Example | Refused]:
        """Line by line; see DatasetReader."""
        table = _table_of(self.root)
        if table is None:
            yield Refused(self.root, f"no table of clips is there; expected one of {', '.join(TABLES)}", skipped=False)
            return
        if outside := self.refuse_outside(table):
            yield outside
            return
        self.notes.clear()
        files = Files(self.root)
        for row in rows(table, notes=self.notes):
            if isinstance(row, Row):
                yield self._one(table, row, files)
            else:
                yield Refused(table, f"line {row.line}: {row.reason}", skipped=False)

    def _one(self, table: Path, row: Row, files: Files) -> Example | Refused:
        try:
            self.check_scale(row.name, row.labels)
            found = files.find(_places(row))
        except ValueError as error:
            return Refused(table, f"line {row.line}: {error}", skipped=False)
        except OSError as error:  # a name longer than any file's
            return Refused(table, f"line {row.line}: {shown(row.name)} cannot be looked for: {error.strerror}", False)
        clip = Clip(row.name, found, row.start or 0.0, row.end, row.text or None)
        return Example(clip, row.labels, cast("Split | None", row.split), row.group)

    def check_scale(self, name: str, labels: Mapping[str, float]) -> None:
        """Raise ValueError for a clip's label outside the scale."""
        low, high = self.scale or (-math.inf, math.inf)
        for letter, label in labels.items():
            if not low <= label <= high:
                raise ValueError(f"label {letter} of {name} is {label:g}, expected {low:g} to {high:g}")


def _table_of(root: Path) -> Path | None:
    """The first table that exists, its name in any case."""
    there = {name.lower(): root / name for name in sorted(os.listdir(root), reverse=True)} if root.is_dir() else {}
    return next((there[name] for name in TABLES if name in there and there[name].is_file()), None)


def _places(row: Row) -> list[PurePosixPath]:
    """Possible paths of a row's clip below the root, likeliest first."""
    if row.file:
        return [PurePosixPath(row.file), *([PurePosixPath(row.name)] if row.name != row.file else [])]
    name = PurePosixPath(row.video if row.start is not None or row.end is not None else row.name)
    return [PurePosixPath(name) if name.is_absolute() else "Raw" / name, name]
