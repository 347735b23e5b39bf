"""Plain safetensors: <clip number>/<modality>/values, times and valid; ids and column names in the header."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from msapipe.errors import MsapipeError
from msapipe.exchange._base import Exchange
from msapipe.types import FeatureSequence, Sample


class Safetensors(Exchange):
    """Nothing is lost: values float32 (T, D), times float64 (T, 2), valid bool (T,), names, channels, labels, split.

    The header field ``msapipe`` is JSON: {"made_by": {...}, "clips": [{"id": ..., "labels": {"M": 1.2}, "split": ...,
    "video": ..., "text": ..., "modalities": {"text": {"names": [...], "channels": {...}}}}]}.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)

    def write(self, path: Path, samples: Iterable[Sample], made_by: Mapping[str, Any] | None = None) -> int:
        """Write all samples; they are held in memory until the file is complete."""
        from safetensors.numpy import save_file

        arrays: dict[str, Any] = {}
        head: list[dict[str, Any]] = []
        for number, sample in enumerate(samples):
            about = {}
            for name, part in sample.features.items():
                at = f"{number}/{name}"
                arrays |= {f"{at}/values": part.values, f"{at}/times": part.times, f"{at}/valid": part.valid}
                about[name] = {"names": part.names, "channels": part.channels}
            head.append(
                {
                    "id": sample.id,
                    "labels": dict(sample.labels),
                    "split": sample.split,
                    "video": sample.video,
                    "text": sample.text,
                    "modalities": about,
                }
            )
        part_file = path.with_name(f".{path.name}.part")
        try:
            save_file(
                arrays,
                part_file,
                {"msapipe": json.dumps({"made_by": dict(made_by or {}), "clips": head}, sort_keys=True)},
            )
            os.replace(part_file, path)
        finally:
            part_file.unlink(missing_ok=True)
        return len(head)

    def read(self, path: Path) -> Iterator[Sample]:
        """The samples in order."""
        with _opened(path) as (file, head):
            for number, clip in enumerate(head["clips"]):
                yield Sample(
                    clip["id"],
                    {name: _part(file, f"{number}/{name}", about) for name, about in clip["modalities"].items()},
                    clip["labels"],
                    clip["split"],
                    clip["video"],
                    clip["text"],
                )

    def made_by(self, path: Path) -> dict[str, Any]:
        """What the features depend on."""
        with _opened(path) as (_, head):
            return dict(head["made_by"])


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The file and its header; whatever does not fit together is one sentence."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            yield file, json.loads((file.metadata() or {})["msapipe"])
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise MsapipeError(
            f"{path}: not a feature file of msapipe: {error}; write one with: msapipe extract -o"
        ) from error


def _part(file: Any, at: str, about: Mapping[str, Any]) -> FeatureSequence:
    return FeatureSequence(
        file.get_tensor(f"{at}/values"),
        file.get_tensor(f"{at}/times"),
        file.get_tensor(f"{at}/valid"),
        tuple(about["names"]),
        {channel: (low, high) for channel, (low, high) in about["channels"].items()},
    )
