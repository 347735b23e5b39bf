"""Column names, channels and widths of a format that stores them once for all clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msapipe.errors import MsapipeError
from msapipe.types import FeatureSequence, Sample


class Columns:
    """The columns of each modality, taken from the first clip that has it.

    ``of``: modality to {"width": D, "names": [...], "channels": {...}}.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: dict[str, str] = {}
        self.of: dict[str, dict[str, Any]] = {}

    def check(self, sample: Sample) -> None:
        """Raise MsapipeError when a clip's columns differ from those of an earlier one."""
        for modality, part in sample.features.items():
            about = describe(part)
            known = self.of.setdefault(modality, about)
            first = self._first.setdefault(modality, sample.id)
            odd = next((key for key in known if known[key] != about[key]), None)
            if odd is not None:
                raise MsapipeError(
                    f"{self._path}: clip {sample.id}: {modality} has other columns than clip {first}: {odd} "
                    f"{_short(about[odd])}, expected {_short(known[odd])}; write files of their own, or .safetensors"
                )


def describe(part: FeatureSequence) -> dict[str, Any]:
    """Width, names and channels, in JSON types."""
    channels = {name: list(bounds) for name, bounds in part.channels.items()}
    return {"width": part.values.shape[1], "names": list(part.names), "channels": channels}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
