"""Plain safetensors: <clip number>/<modality>/values, times and valid; ids and column names in the header."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from msapipe.errors import MsapipeError
from msapipe.exchange._base import ClipFeatures, Exchange
from msapipe.types import FeatureSequence


class Safetensors(Exchange):
    """Nothing is lost: values float32 (T, D), times float64 (T, 2), valid bool (T,), names, channels.

    The header field ``msapipe`` is JSON: {"clips": [{"id": ..., "modalities": {"text": {"names": [...],
    "channels": {...}}}}]}.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)

    def write(self, path: Path, clips: Iterable[ClipFeatures]) -> int:
        """Write all clips; they are held in memory until the file is complete."""
        from safetensors.numpy import save_file

        arrays: dict[str, Any] = {}
        head: list[dict[str, Any]] = []
        for number, (clip, features) in enumerate(clips):
            about = {}
            for name, part in features.items():
                at = f"{number}/{name}"
                arrays |= {f"{at}/values": part.values, f"{at}/times": part.times, f"{at}/valid": part.valid}
                about[name] = {"names": part.names, "channels": part.channels}
            head.append({"id": clip, "modalities": about})
        part_file = path.with_name(f".{path.name}.part")
        try:
            save_file(arrays, part_file, {"msapipe": json.dumps({"clips": head}, sort_keys=True)})
            os.replace(part_file, path)
        finally:
            part_file.unlink(missing_ok=True)
        return len(head)

    def read(self, path: Path) -> Iterator[ClipFeatures]:
        """The clips in order."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="numpy") as file:
                head = json.loads((file.metadata() or {})["msapipe"])
                for number, clip in enumerate(head["clips"]):
                    yield (
                        clip["id"],
                        {
                            name: FeatureSequence(
                                file.get_tensor(f"{number}/{name}/values"),
                                file.get_tensor(f"{number}/{name}/times"),
                                file.get_tensor(f"{number}/{name}/valid"),
                                tuple(about["names"]),
                                {channel: (low, high) for channel, (low, high) in about["channels"].items()},
                            )
                            for name, about in clip["modalities"].items()
                        },
                    )
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise MsapipeError(
                f"{path}: not a feature file of msapipe: {error}; write one with: msapipe extract -o"
            ) from error
