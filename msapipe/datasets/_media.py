"""Which names say that a file is a clip."""

from __future__ import annotations

# Names that say "this is a clip". A file with another name can still be given by itself.
MEDIA_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "wmv", "flv", "3gp", "ogv"),
        *("gif", "webp", "vob", "mxf", "wav", "flac", "mp3", "m4a", "aac", "ogg", "oga", "opus", "wma", "aif", "aiff"),
        *("amr", "caf"),
    )
)


def is_apple_double(name: str) -> bool:
    """Whether a file is what a Mac notes of another one beside it (``._clip.mp4``) on disks that are not its own."""
    return name.startswith("._")
