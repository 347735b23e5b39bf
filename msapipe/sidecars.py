"""Which file beside a media file holds its words."""

from __future__ import annotations

import stat
from pathlib import Path

SUFFIXES = (".json", ".vtt", ".srt", ".txt")


def sidecar_of(path: Path) -> Path | None:
    """The file with the words of the media file ``path``, or None: a pure look at the folder, nothing is opened.

    The first regular file of clip.json, clip.vtt, clip.srt, clip.txt, clip.mp4.json, clip.mp4.vtt and so on.
    """
    for stem in dict.fromkeys((path.stem, path.name)):
        for suffix in SUFFIXES:
            beside = path.parent / (stem + suffix)
            if stem and beside != path and _is_regular(beside):
                return beside
    return None


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):  # absent, out of reach, a name too long, a link to itself
        return False
