"""Failures counted by cause: reasons that differ only in names and numbers are one cause."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

# No apostrophe inside a word.
_QUOTED = re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"")
# No number inside a word: h264 and mp4 are names of formats.
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")


def cause(reason: str, names: Iterable[str] = ()) -> str:
    """A reason with the names of its file and clip, quotations and numbers replaced by "…".

    >>> cause("/data/a.mp4: the file is empty (0 bytes)", ["/data/a.mp4"])
    'the file is empty (… bytes)'
    """
    for name in sorted(filter(None, names), key=len, reverse=True):
        # Match whole words only: a clip may be called "e".
        reason = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", reason.removeprefix(f"{name}: "))
    return _NUMBER.sub("…", _QUOTED.sub("…", reason))


def names_of(path: Path, clip: str) -> list[str]:
    """The names of a clip in reasons: its file, with or without suffix (a sidecar's name starts so), and its id."""
    return [str(path), str(path.with_suffix("") if path.name else path), clip]


def cause_of_refusal(reason: str, path: str) -> str:
    """As ``cause``, for a reader's refusals, which name other clips and files: names with a slash are replaced."""
    return cause(reason, [path, *re.findall(r"\S*/[^\s:;,]*", reason)])
