"""A model's full output for each clip, as a table, or as JSON without loss."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from msapipe.errors import ConfigError
from msapipe.fusion._base import FusionModel, Output
from msapipe.types import Sample

ENDINGS = (".csv", ".jsonl")
# Most columns that a table takes from a feature; wider ones say little about a single clip.
FEW = 8


def check_file(path: Path) -> None:
    """Raise, before any computation, if the file's suffix is unknown."""
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"--per-clip {path}: found the ending {path.suffix!r}, expected {' or '.join(ENDINGS)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--per-clip {path}: there is no folder {path.parent}; make it first")


def records(model: FusionModel, samples: Sequence[Sample], output: Output) -> list[dict[str, Any]]:
    """One record per clip: id, video, split, text, labels, score, error, interval, unimodal, classes (logits),
    features, diagnostics.

    Only features of at most FEW columns (logits, beliefs) are included. All diagnostics are: a scalar, one value per
    modality, or nested lists, without padding.
    """
    return [_record(model, sample, row, output) for row, sample in enumerate(samples)]


def _record(model: FusionModel, sample: Sample, row: int, output: Output) -> dict[str, Any]:
    score = float(output.score[row])
    label = sample.labels.get("M")
    small = {name: part for name, part in output.features.items() if part.ndim == 2 and part.shape[1] <= FEW}
    return {
        "id": sample.id,
        "video": sample.video,
        "split": sample.split,
        "text": sample.text,
        "labels": dict(sample.labels),
        "score": score,
        "error": None if label is None else abs(label - score),
        "interval": None if output.interval is None else output.interval[row].tolist(),
        "unimodal": {name: float(said[row]) for name, said in output.unimodal.items()},
        "classes": None if output.classes is None else output.classes[row].tolist(),
        "features": {name: part[row].tolist() for name, part in small.items()},
        "diagnostics": {
            name: diagnostic(part[row] if part.ndim else part, tuple(model.dims) if name in model.by_modality else ())
            for name, part in output.diagnostics.items()
        },
    }


def diagnostic(value: Tensor, modalities: Sequence[str]) -> Any:
    """A number, {modality: number}, or nested lists without padding (NaN)."""
    if modalities:
        return dict(zip(modalities, value.tolist(), strict=True))
    return _without_padding(value.tolist())


def _without_padding(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    kept = [_without_padding(part) for part in value]
    return [part for part in kept if part != [] and not (isinstance(part, float) and math.isnan(part))]


def write(path: Path, found: Sequence[dict[str, Any]]) -> list[str]:
    """Write records; returns the names of fields that do not fit a table: .jsonl has all."""
    if path.suffix.lower() == ".jsonl":
        path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in found), encoding="utf-8")
        return []
    left = {name for record in found for name, value in _beside(record).items() if _is_long(value)}
    rows = [_flat(record, left) for record in found]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return sorted(left)


def _beside(record: dict[str, Any]) -> dict[str, Any]:
    return {**record["features"], **record["diagnostics"]}


def _is_long(value: Any) -> bool:
    """Whether the value does not fit a table cell."""
    return isinstance(value, list) and (len(value) > FEW or any(isinstance(part, list) for part in value))


def _flat(record: dict[str, Any], left: set[str]) -> dict[str, Any]:
    """A record as one table row, without fields that no row can hold."""
    row: dict[str, Any] = {name: record[name] for name in ("id", "video", "split", "text")}
    row |= {"label" if name == "M" else f"label_{name}": value for name, value in record["labels"].items()}
    row |= {"score": record["score"], "error": record["error"]}
    if record["interval"] is not None:
        row["interval_low"], row["interval_high"] = record["interval"]
    row |= {f"score_{name}": value for name, value in record["unimodal"].items()}
    row |= {f"logit_{number}": value for number, value in enumerate(record["classes"] or ())}
    for name, value in _beside(record).items():
        if isinstance(value, dict):
            row |= {f"{name}_{modality}": number for modality, number in value.items()}
        elif isinstance(value, list) and name not in left:
            row |= {f"{name}_{number}": part for number, part in enumerate(value)}
        elif name not in left:
            row[name] = value
    return row
