"""One safetensors file, written clip by clip: its header comes first, so the values wait on disk until the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MsapipeError
from msapipe.types import Sample

# Widest types first, so that every array is aligned to its type, as torch requires when it maps a file.
_TYPES = {"float64": "F64", "int64": "I64", "float32": "F32", "bool": "BOOL"}
# The library refuses files with a longer header.
_MOST_HEADER = 100_000_000


class Shard:
    """``add`` clips, then ``finish`` the file. Only a clip's name, words and labels stay in memory."""

    def __init__(self, work: Path) -> None:
        work.mkdir()
        self.file = work / "file"
        self._spools: dict[str, BinaryIO] = {name: (work / name).open("w+b") for name in _TYPES}
        self._places: list[tuple[str, str, tuple[int, ...], int, int]] = []
        self._clips: list[dict[str, Any]] = []
        self._columns: dict[str, int] = {}

    @property
    def bytes(self) -> int:
        """Bytes of values so far."""
        return sum(spool.tell() for spool in self._spools.values())

    def add(self, sample: Sample) -> None:
        """Add a clip."""
        number = len(self._clips)
        about: dict[str, Any] = {}
        for name, part in sample.features.items():
            for field in ("values", "times", "valid"):
                self._keep(f"{number}/{name}/{field}", getattr(part, field))
            columns = json.dumps({"names": part.names, "channels": part.channels}, sort_keys=True)
            about[name] = {"columns": self._columns.setdefault(columns, len(self._columns)), "notes": part.notes}
        if sample.tokens is not None:
            self._keep(f"{number}/tokens", sample.tokens.astype(np.int64, copy=False))
        clip = {"id": sample.id, "labels": dict(sample.labels), "split": sample.split, "video": sample.video}
        self._clips.append({**clip, "text": sample.text, "modalities": about, "tokens": sample.tokens is not None})

    def _keep(self, name: str, values: NDArray[Any]) -> None:
        spool = self._spools[values.dtype.name]
        begin = spool.tell()
        spool.write(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
        self._places.append((name, values.dtype.name, values.shape, begin, spool.tell()))

    def finish(self, made_by: Mapping[str, Any]) -> Path:
        """Write ``file``, below ``work``; raises MsapipeError when a single header cannot hold so many clips."""
        first, base = {}, 0
        for name, spool in self._spools.items():
            first[name] = base
            base += spool.tell()
        about = {
            "made_by": dict(made_by),
            "columns": [json.loads(columns) for columns in self._columns],
            "clips": self._clips,
        }
        header: dict[str, Any] = {"__metadata__": {"msapipe": json.dumps(about, sort_keys=True)}}
        for name, kind, shape, begin, end in self._places:
            offsets = [first[kind] + begin, first[kind] + end]
            header[name] = {"dtype": _TYPES[kind], "shape": shape, "data_offsets": offsets}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        if len(text) > _MOST_HEADER:
            raise MsapipeError(
                f"{len(self._clips)} clips are too many for one .safetensors file; write a folder of several: "
                "msapipe convert A B.safetensors --per-split"
            )
        with self.file.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for spool in self._spools.values():
                spool.seek(0)
                shutil.copyfileobj(spool, file, 2**20)
        self.close()
        return self.file

    def close(self) -> None:
        """Discard the added values; a finished file stays."""
        for spool in self._spools.values():
            spool.close()
            Path(spool.name).unlink(missing_ok=True)
