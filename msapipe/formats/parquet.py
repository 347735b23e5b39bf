"""Parquet in a folder that Hugging Face's ``datasets`` and pandas load: one row per clip (extra parquet)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from msapipe.documents import read_json
from msapipe.errors import MissingLibrary, MsapipeError
from msapipe.formats._base import Format, made_whole
from msapipe.formats._columns import Columns
from msapipe.types import FeatureSequence, Sample

_MODALITIES = ("text", "audio", "vision")
_LABELS = {"M": "label", "T": "label_T", "A": "label_A", "V": "label_V"}
# Split to its name on the hub; clips without a split are in train there too.
_FILES = {"train": "train", "valid": "validation", "test": "test", None: "train"}
_GROUP_BYTES = 32 * 2**20
_AT_ONCE = 16  # clips read together

_CARD = """---
configs:
- config_name: default
  data_files:
{files}
---
# Features of {count} clips

Written by msapipe, one row a clip: `datasets.load_dataset("parquet", data_dir="...")`, `datasets.load_dataset(FOLDER)`
or `pandas.read_parquet("FOLDER/data")`.

| column | what |
|---|---|
| `id`, `video`, `split`, `transcript` | the clip, what it was cut from, train, valid or test, its words |
| `label`, `label_T`, `label_A`, `label_V` | of all, and of text, audio and vision alone; null where nobody gave one |
| `text`, `audio`, `vision` | T rows of D float32; null where a clip lacks it |
| `text_times`, ... | T rows of [start, end) in seconds from the clip's start |
| `text_valid`, ... | T flags: false where nothing was seen, and the row is zero |
| `text_notes`, ... | remarks on how they were made |
| `tokens` | word-piece ids, mask, segments: 3 rows of L; null without |

Names of columns, and what the features were made by, are JSON in the metadata of each file:
`pyarrow.parquet.read_metadata(FILE).metadata[b"msapipe"]`.
"""


class Parquet(Format):
    """``data/train-00000-of-00001.parquet``, ``validation-...``, ``test-...`` and a README.md; nothing is lost.

    The README describes the columns. Row groups of about 32 MB are written and read one by one. A single .parquet file
    with these columns can be read too.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)
    folder = True

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether the folder, or its subfolder ``data``, holds .parquet files."""
        return bool(_files(folder))

    def check(self, path: Path, bare: Iterable[Sample] = ()) -> None:
        """See Format."""
        super().check(path, bare)
        _library()

    def write(self, path: Path, samples: Iterable[Sample], made_by: Mapping[str, Any] | None = None) -> int:
        """Write all samples, a row group in memory at a time, into a new folder."""
        _, parquet = _library()
        count, columns = 0, Columns(path)
        with made_whole(path, self.folder) as work, ExitStack() as at_end:
            (work / "made" / "data").mkdir(parents=True)
            tables: dict[str, _Table] = {}
            for sample in samples:
                columns.check(sample)
                name = _FILES[sample.split]
                if name not in tables:
                    file = work / "made" / "data" / f"{name}-00000-of-00001.parquet"
                    tables[name] = _Table(at_end.enter_context(parquet.ParquetWriter(file, _schema())))
                tables[name].add(sample)
                count += 1
            if not tables:
                raise MsapipeError(f"{path}: there is no clip to write")
            for table in tables.values():
                table.finish({"made_by": dict(made_by or {}), "columns": columns.of})
            files = "\n".join(f"  - split: {name}\n    path: data/{name}-*" for name in tables)
            (work / "made" / "README.md").write_text(_CARD.format(files=files, count=count), encoding="utf-8")
        return count

    def read(self, path: Path) -> Iterator[Sample]:
        """The samples in order, file by file: train, validation, test."""
        arrow, parquet = _library()
        for file in _found(path):
            try:
                with parquet.ParquetFile(file) as opened:
                    about = _about(opened).get("columns", {})
                    for batch in opened.iter_batches(_AT_ONCE):
                        yield from (_sample(row, about) for row in _rows(batch))
            except (arrow.ArrowException, KeyError, ValueError, TypeError, OSError) as error:
                raise _refused(file, error) from error

    def made_by(self, path: Path) -> dict[str, Any]:
        """What the features depend on."""
        arrow, parquet = _library()
        file = _found(path)[0]
        try:
            with parquet.ParquetFile(file) as opened:
                return dict(_about(opened).get("made_by", {}))
        except (arrow.ArrowException, ValueError, OSError) as error:
            raise _refused(file, error) from error


def _library() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingLibrary('.parquet needs a package; type: uv pip install "msapipe[parquet]"') from error
    return pyarrow, parquet


def _files(path: Path) -> list[Path]:
    """The .parquet files of a folder or of its subfolder ``data``, in the order of splits."""
    order = list(dict.fromkeys(_FILES.values()))
    found = sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
    return sorted(found, key=lambda file: order.index(start) if (start := file.stem.partition("-")[0]) in order else 9)


def _found(path: Path) -> list[Path]:
    found = _files(path) if path.is_dir() else [path]
    if not found:
        raise MsapipeError(f"{path}: expected .parquet files in this folder or in {path / 'data'}, found none")
    return found


def _refused(file: Path, error: Exception) -> MsapipeError:
    return MsapipeError(f"{file}: not a table of features: {error}; write one with: msapipe convert A B.parquet")


def _about(opened: Any) -> dict[str, Any]:
    found = read_json((opened.metadata.metadata or {}).get(b"msapipe", b"{}"))
    return found if isinstance(found, dict) else {}


def _schema() -> Any:
    arrow, _ = _library()
    fields = [(name, arrow.string()) for name in ("id", "video", "split", "transcript")]
    fields += [(name, arrow.float64()) for name in _LABELS.values()]
    for name in _MODALITIES:
        fields.append((name, arrow.list_(arrow.list_(arrow.float32()))))
        fields.append((f"{name}_times", arrow.list_(arrow.list_(arrow.float64()))))
        fields.append((f"{name}_valid", arrow.list_(arrow.bool_())))
        fields.append((f"{name}_notes", arrow.list_(arrow.string())))
    return arrow.schema([*fields, ("tokens", arrow.list_(arrow.list_(arrow.int64())))])


class _Table:
    """The rows of one file, written in groups."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def add(self, sample: Sample) -> None:
        """Add a row; raises MsapipeError when its name is not text."""
        if not sample.id.isprintable() and "?" in sample.id.encode("utf-8", "replace").decode():
            raise MsapipeError(f"clip {sample.id!r}: .parquet holds UTF-8 text only; rename the file")
        row: dict[str, Any] = {"id": sample.id, "video": sample.video, "split": sample.split}
        row |= {"transcript": sample.text, "tokens": sample.tokens}
        row |= {column: sample.labels.get(letter) for letter, column in _LABELS.items()}
        for name in _MODALITIES:
            part = sample.features.get(name)
            for field, column in {"values": name, "times": f"{name}_times", "valid": f"{name}_valid"}.items():
                row[column] = None if part is None else getattr(part, field)
                self._bytes += 0 if part is None else row[column].nbytes
            row[f"{name}_notes"] = None if part is None else list(part.notes)
        self._rows.append(row)
        if self._bytes >= _GROUP_BYTES:
            self._flush()

    def finish(self, about: Mapping[str, Any]) -> None:
        """Write the remaining rows, and the metadata of the whole file."""
        self._flush()
        self._writer.add_key_value_metadata({"msapipe": json.dumps(about, sort_keys=True)})

    def _flush(self) -> None:
        arrow, _ = _library()
        schema = _schema()
        columns = [_column([row[field.name] for row in self._rows], field.type) for field in schema]
        self._writer.write_table(arrow.Table.from_arrays(columns, schema=schema))
        self._rows, self._bytes = [], 0


def _column(values: list[Any], kind: Any) -> Any:
    """An Arrow array; 2-D arrays become lists of lists without one Python object per number."""
    arrow, _ = _library()
    if not (arrow.types.is_list(kind) and arrow.types.is_list(kind.value_type)):
        return arrow.array(values, kind)
    there = [value for value in values if value is not None]
    flat = np.concatenate([value.ravel() for value in there]) if there else np.zeros(0)
    widths = np.concatenate([[0], *(np.full(len(value), value.shape[1]) for value in there)])
    lists = arrow.ListArray.from_arrays(
        arrow.array(np.cumsum(widths), arrow.int32()), arrow.array(flat, kind.value_type.value_type)
    )
    starts = np.cumsum([0, *(0 if value is None else len(value) for value in values)])
    missing = arrow.array([value is None for value in values], arrow.bool_())
    return arrow.ListArray.from_arrays(arrow.array(starts, arrow.int32()), lists, mask=missing)


def _rows(batch: Any) -> Iterator[dict[str, Any]]:
    columns = {name: batch.column(name) for name in batch.schema.names}
    for number in range(batch.num_rows):
        yield {name: column[number] for name, column in columns.items()}


def _sample(row: Mapping[str, Any], columns: Mapping[str, Any]) -> Sample:
    features = {name: _sequence(row, name, columns.get(name, {})) for name in _MODALITIES if _there(row, name)}
    labels = {letter: _plain(row, column) for letter, column in _LABELS.items() if _there(row, column)}
    tokens = _matrix(row["tokens"], np.int64) if _there(row, "tokens") else None
    split, video, text = _plain(row, "split"), _plain(row, "video", ""), _plain(row, "transcript", "")
    return Sample(row["id"].as_py(), features, labels, split, video, text, tokens)


def _there(row: Mapping[str, Any], name: str) -> bool:
    return name in row and row[name].is_valid


def _plain(row: Mapping[str, Any], name: str, default: Any = None) -> Any:
    return row[name].as_py() if _there(row, name) else default


def _sequence(row: Mapping[str, Any], name: str, columns: Mapping[str, Any]) -> FeatureSequence:
    values = _matrix(row[name], np.float32, columns.get("width", 0))
    return FeatureSequence(
        values,
        _matrix(row[f"{name}_times"], np.float64, 2),
        np.array(row[f"{name}_valid"].values.to_numpy(zero_copy_only=False), bool),
        tuple(columns.get("names", ())),
        {channel: (low, high) for channel, (low, high) in columns.get("channels", {}).items()},
        tuple(_plain(row, f"{name}_notes", ())),
    )


def _matrix(value: Any, kind: type[Any], width: int = 0) -> NDArray[Any]:
    """A list of equally long lists as an array; ``width`` if it is empty."""
    rows = value.values
    flat = np.array(rows.flatten().to_numpy(zero_copy_only=False), kind)
    return flat.reshape(len(rows), len(flat) // len(rows) if len(rows) else width)
