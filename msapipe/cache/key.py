"""The key of a result: a hash of everything that could change it, known before anything runs.

Device, batch size, workers, limits, paths and clip ids are not in a key. A renamed file is found again; a file whose
bytes changed is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA = 1  # raise it when stored values change their meaning: every old entry is then recomputed


def digest(parts: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of ``parts``, 64 hex digits."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of the bytes of a regular file, 64 hex digits; reads it in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stage_key(
    slot: str, use: str, version: int, params: Mapping[str, Any], weights: list[str], inputs: Mapping[str, str]
) -> dict[str, Any]:
    """What identifies the result of one stage; ``digest`` of it is the key.

    weights: sha256 of each weights file.   inputs: slot to the key of the value in it, so that a key covers every
    earlier step.
    """
    return {
        "schema": SCHEMA,
        "slot": slot,
        "use": use,
        "version": version,
        "params": dict(params),
        "weights": weights,
        "inputs": dict(inputs),
    }
