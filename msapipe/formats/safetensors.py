"""Plain safetensors: <clip number>/<modality>/values, times and valid; ids and column names in the header."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from msapipe.documents import read_json
from msapipe.errors import MsapipeError
from msapipe.formats._base import Format, made_whole
from msapipe.formats._shard import Shard
from msapipe.types import FeatureSequence, Sample

_SPLITS = ("train", "valid", "test")

# Rows this wide are pictures: gigabytes of them, never all needed at once.
WIDE = 4096


class Safetensors(Format):
    """Lossless: values float32 (T, D), times float64 (T, 2), valid bool (T,), tokens int64 (3, L), and everything else.

    The header field ``msapipe`` is JSON: {"made_by": {...}, "columns": [{"names": [...], "channels": {...}}], "clips":
    [{"id": ..., "labels": {"M": 1.2}, "split": ..., "video": ..., "text": ..., "modalities": {"text": {"columns": 0,
    "notes": []}}}]}; "columns" of a modality is an index into that list.

    per_split: write a folder of files, ``train-00001-of-00003.safetensors``, none much above ``most_bytes``; clips
    without a split go to ``all-...``. Both forms can be read.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)

    def __init__(self, per_split: bool = False, most_bytes: int = 10**9) -> None:
        self.folder, self.most_bytes = per_split, most_bytes

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether it holds .safetensors files."""
        return any(folder.glob("*.safetensors"))

    def write(self, path: Path, samples: Iterable[Sample], made_by: Mapping[str, Any] | None = None) -> int:
        """Write all samples, one in memory at a time."""
        count = 0
        with made_whole(path, self.folder) as work, ExitStack() as at_end:
            shards: dict[str, list[Shard]] = {}
            for sample in samples:
                name = sample.split or "all" if self.folder else ""
                own = shards.setdefault(name, [])
                if not own or (self.folder and own[-1].bytes >= self.most_bytes):
                    if own:
                        own[-1].finish(made_by or {})
                    own.append(Shard(work / f"{name}{len(own)}"))
                    at_end.callback(own[-1].close)
                own[-1].add(sample)
                count += 1
            if not self.folder:
                shard = shards[""][0] if count else Shard(work / "0")
                shard.finish(made_by or {}).rename(work / "made")
                return count
            (work / "made").mkdir()
            for name, own in shards.items():
                own[-1].finish(made_by or {})
                for number, shard in enumerate(own, 1):
                    shard.file.rename(work / "made" / f"{name}-{number:05}-of-{len(own):05}.safetensors")
        return count

    def read(self, path: Path) -> Iterator[Sample]:
        """The samples in order; those of a folder split by split."""
        for each in _files(path):
            with _opened(each) as (file, head):
                pictures = _Mapped(each)
                for number, clip in enumerate(head["clips"]):
                    yield _sample(file, head, number, clip, pictures)

    def made_by(self, path: Path) -> dict[str, Any]:
        """What the features depend on."""
        with _opened(_files(path)[0]) as (_, head):
            return dict(head["made_by"])


def _files(path: Path) -> list[Path]:
    """The file itself, or those of a folder: train, valid, test, others; raises MsapipeError when one is missing."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.safetensors"), key=lambda file: (_place(file), file.name))
    if not found:
        raise MsapipeError(f"{path}: expected .safetensors files in this folder, found none")
    for file in found:
        name, _, count = file.stem.rpartition("-of-")
        own = [other for other in found if other.name.startswith(f"{name.rpartition('-')[0]}-")]
        if name and count.isdigit() and len(own) != int(count):
            raise MsapipeError(f"{path}: {file.name} says that it is one of {int(count)} files, found {len(own)}")
    return found


def _place(file: Path) -> int:
    split = file.stem.partition("-")[0]
    return _SPLITS.index(split) if split in _SPLITS else len(_SPLITS)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The file and its header; any inconsistency becomes one sentence."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            yield file, read_json((file.metadata() or {})["msapipe"])
    except (SafetensorError, LookupError, AttributeError, ValueError, TypeError, OSError) as error:
        if isinstance(error, MsapipeError):
            raise
        raise MsapipeError(
            f"{path}: not a feature file of msapipe: {error}; write one with: msapipe extract -o"
        ) from error


class _Mapped:
    """Memory maps of a file's wide arrays: the system reads them on access, and may drop them again."""

    def __init__(self, path: Path) -> None:
        self._path, self._whole = path, np.zeros(0, np.uint8)
        self._header: dict[str, Any] = {}

    def array(self, name: str) -> NDArray[np.float32]:
        """A read-only float32 array."""
        if not self._header:
            whole = np.memmap(self._path, np.uint8, mode="r")
            size = 8 + int.from_bytes(whole[:8].tobytes(), "little")
            self._header, self._whole = read_json(whole[8:size].tobytes()), np.asarray(whole[size:])
        about = self._header[name]
        begin, end = about["data_offsets"]
        return self._whole[begin:end].view("<f4").reshape(about["shape"])


def _sample(file: Any, head: Mapping[str, Any], number: int, clip: Mapping[str, Any], pictures: _Mapped) -> Sample:
    features = {}
    for name, about in clip["modalities"].items():
        # Older files describe the columns in each clip, not once per file.
        columns = head["columns"][about["columns"]] if "columns" in about else about
        key = f"{number}/{name}"
        wide = file.get_slice(f"{key}/values").get_shape()[1] >= WIDE
        values = pictures.array(f"{key}/values") if wide else file.get_tensor(f"{key}/values")
        times, valid = file.get_tensor(f"{key}/times"), file.get_tensor(f"{key}/valid")
        channels = {channel: (low, high) for channel, (low, high) in columns["channels"].items()}
        notes = tuple(about.get("notes", ()))
        features[name] = FeatureSequence(values, times, valid, tuple(columns["names"]), channels, notes)
    tokens = file.get_tensor(f"{number}/tokens") if clip.get("tokens") else None
    return Sample(clip["id"], features, clip["labels"], clip["split"], clip["video"], clip["text"], tokens)
