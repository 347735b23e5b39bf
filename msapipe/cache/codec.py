"""Values to arrays and plain JSON, and back. No pickle: the types check whatever is read."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.types import (
    CaptionTrack,
    Contribution,
    EncodedImages,
    FaceTracks,
    Failure,
    FeatureSequence,
    MediaInfo,
    Prediction,
    Speaker,
    Summary,
    Transcript,
    Window,
    Word,
)

Arrays = dict[str, NDArray[Any]]
Value = FeatureSequence | FaceTracks | Speaker | Transcript | MediaInfo | Failure | Summary | Prediction | None

# Suffix of the names of arrays that hold the bytes of pictures.
PICTURES = ".data"
_ORDER = ("text", "audio", "vision")
_TYPES = {
    kind.__name__: kind
    for kind in (FeatureSequence, FaceTracks, Speaker, Transcript, MediaInfo, Failure, Summary, Prediction)
}


def encode(value: Value) -> tuple[str, Arrays, dict[str, Any]]:
    """The name of the type, its arrays, and the rest as plain JSON values. ``None`` counts as a type."""
    if value is None:
        return "None", {}, {}
    arrays: Arrays = {}
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if isinstance(item, np.ndarray):
            arrays[field.name] = item
        elif isinstance(item, EncodedImages):
            arrays[f"{field.name}{PICTURES}"], arrays[f"{field.name}.offsets"] = item.data, item.offsets
        else:
            plain[field.name] = _plain(item)
    return type(value).__name__, arrays, plain


def decode(kind: str, arrays: Arrays, plain: dict[str, Any]) -> Value:
    """Rebuild the value that ``encode`` took apart; raises ValueError or TypeError when the parts do not fit together.

    Pictures whose bytes are not among the arrays come back empty.
    """
    if kind == "None":
        return None
    fields: dict[str, Any] = dict(plain)
    for name, item in arrays.items():
        if name.endswith(".offsets"):
            owner = name.removesuffix(".offsets")
            data = arrays.get(f"{owner}{PICTURES}")
            fields[owner] = EncodedImages.join([b""] * (len(item) - 1)) if data is None else EncodedImages(data, item)
        elif not name.endswith(PICTURES):
            fields[name] = item
    if kind == "Transcript":
        fields["words"] = _words(fields["words"])
    if kind == "MediaInfo":
        fields["captions"] = tuple(
            CaptionTrack(**{**track, "cues": _words(track["cues"])}) for track in fields["captions"]
        )
    if kind == "Prediction":
        parts = fields["modalities"]  # sorted by name, since the header is
        order = sorted(parts, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
        fields["modalities"] = {name: Contribution(**parts[name]) for name in order}
        fields["timeline"] = tuple(Window(**_with_tuples(window)) for window in fields.get("timeline", ()))
    if kind == "Summary":
        fields["filled"] = tuple((slot, key) for slot, key in fields["filled"])
    if "channels" in fields:
        fields["channels"] = {name: tuple(bounds) for name, bounds in fields["channels"].items()}
    return _TYPES[kind](**_with_tuples(fields))


def _words(plain: list[dict[str, Any]]) -> tuple[Word, ...]:
    return tuple(Word(**word) for word in plain)


def _with_tuples(plain: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples: they were written as lists."""
    return {name: tuple(item) if isinstance(item, list) else item for name, item in plain.items()}


def _plain(item: Any) -> Any:
    """Tuples, mappings and the small dataclasses as lists and dictionaries."""
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return dataclasses.asdict(item)
    if isinstance(item, tuple | list):
        return [_plain(part) for part in item]
    if isinstance(item, dict):
        return {name: _plain(part) for name, part in item.items()}
    return item
