"""Location of the bundled pipelines and model folders: in the wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def bundled(kind: str) -> Path:
    """The folder ``kind`` ("pipelines" or "models")."""
    in_wheel = PACKAGE / "_bundled" / kind
    return in_wheel if in_wheel.is_dir() else PACKAGE.parent / kind
