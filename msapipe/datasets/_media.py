"""The file names of clips."""

from __future__ import annotations

# Suffixes of clips. Files with other names can still be given explicitly.
MEDIA_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "wmv", "flv", "3gp", "ogv"),
        *("gif", "webp", "vob", "mxf", "wav", "flac", "mp3", "m4a", "aac", "ogg", "oga", "opus", "wma", "aif", "aiff"),
        *("amr", "caf"),
    )
)


def is_apple_double(name: str) -> bool:
    """Whether a Mac made the file (``._clip.mp4``) for metadata of another file, on a foreign disk."""
    return name.startswith("._")
