"""The meaning of columns and cells in a table of clips, in the many ways that people and programs write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from msapipe.errors import MsapipeError
from msapipe.types.splits import split_named

LABELS = {"M": "label", "T": "label_T", "A": "label_A", "V": "label_V"}

# The known columns and their other names; compared in lower case, with words joined by "_".
_MEANINGS = {
    "file": ("file", "path", "file_path", "filepath", "filename", "file_name", "video_path", "clip_path", "media"),
    "id": ("id",),
    "clip": ("clip",),
    "clip_id": ("clip_id", "clipid", "utterance_id", "utt_id", "segment_id"),
    "video_id": ("video_id", "videoid", "video", "dialogue_id"),
    "text": ("text", "raw_text", "transcript", "transcription", "utterance", "sentence"),
    "label": ("label", "labels", "label_m", "sentiment", "sentiment_score", "regression_label", "regression_labels"),
    "label_T": ("label_t", "label_text", "regression_labels_t"),
    "label_A": ("label_a", "label_audio", "regression_labels_a"),
    "label_V": ("label_v", "label_vision", "label_video", "regression_labels_v"),
    "mode": ("mode", "split", "set", "subset", "partition"),
    "start": ("start", "start_time", "begin", "start_s"),
    "end": ("end", "end_time", "stop", "end_s"),
    "speaker": ("speaker", "speaker_id"),
}
# How programs write an empty cell.
_EMPTY = frozenset(("", "nan", "n/a", "na", "#n/a", "<na>", "null", "none", "nil", "-", "--", "?"))
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def places_of(names: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Each known column to its index in the header, and the names of the unknown columns.

    The usual name of a column takes precedence over its others. Raises MsapipeError, as a part of a sentence, if two
    columns match.
    """
    found: dict[str, list[int]] = {}
    unread = []
    for place, name in enumerate(names):
        plain = re.sub(r"[\s\-.]+", "_", unicodedata.normalize("NFKC", name).strip().casefold())
        meaning = next((own for own, others in _MEANINGS.items() if plain in others), None)
        if meaning is None:
            unread += [name.strip()] if name.strip() else []
        else:
            found.setdefault(meaning, []).append(place)
    chosen = {}
    for meaning, places in found.items():
        usual = [place for place in places if names[place].strip().casefold() == meaning.casefold()]
        fits = usual or places
        if len(fits) > 1:
            both = " and ".join(names[place].strip() for place in fits)
            raise MsapipeError(f"the columns {both} may both be the column {meaning}; rename one")
        chosen[meaning] = fits[0]
        unread += [names[place].strip() for place in places if place != fits[0]]
    return chosen, unread


def is_empty(cell: str) -> bool:
    """Whether a cell means that there is no value."""
    return cell.strip().casefold() in _EMPTY


def number(column: str, cell: str) -> float | None:
    """The number in a cell, with a decimal point or comma; None for an empty one. Raises ValueError."""
    if is_empty(cell):
        return None
    plain = unicodedata.normalize("NFKC", cell).strip().replace("\u2212", "-")
    if plain.count(",") == 1 and "." not in plain:
        plain = plain.replace(",", ".")
    found = float(plain) if _NUMBER.fullmatch(plain) else float("inf")
    if abs(found) == float("inf"):
        raise ValueError(f"{column} is {cell!r}, expected a number")
    return found


def split_of(cell: str) -> str | None:
    """train, valid or test by any of their names; None for an empty cell. Raises ValueError."""
    if is_empty(cell):
        return None
    found = split_named(cell)
    if found is None:
        raise ValueError(f"mode is {cell!r}, expected train, valid or test (validation, val and dev are valid)")
    return found
