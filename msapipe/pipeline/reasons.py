"""Why a modality is missing although its source exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msapipe.types import FaceTracks, Transcript

# The decoder's notes about sound too quiet to use.
_QUIET = ("The sound is silent", "The sound is quieter")


def why_missing(modality: str, values: Mapping[str, Any], notes: Sequence[str]) -> str:
    """Part of a sentence.   values: the clip's slots and their values.   notes: the notes about it so far."""
    faces = values.get("faces")
    if modality == "vision" and isinstance(faces, FaceTracks):
        return "no picture could be decoded" if not len(faces.times) else "no face was found"
    words = values.get("words")
    if modality == "text" and isinstance(words, Transcript) and not words.words:
        return "no words were found"
    if modality == "audio":
        quiet = any(note.startswith(_QUIET) for note in notes)
        return "the sound is silent" if quiet else "nothing in the sound could be used: no speech was heard in it"
    return "no valid step"
