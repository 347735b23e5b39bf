"""What went wrong, counted by cause: sentences that differ only in names and numbers are one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

# Not an apostrophe inside a word.
_QUOTED = re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"")
# Not those inside a word: h264 and mp4 are names of formats.
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")


def cause(reason: str, names: Iterable[str] = ()) -> str:
    """A reason without the names of its file and clip, what it quotes, and numbers, each replaced by "…".

    >>> cause("/data/a.mp4: the file is empty (0 bytes)", ["/data/a.mp4"])
    'the file is empty (… bytes)'
    """
    for name in sorted(filter(None, names), key=len, reverse=True):
        # As a whole word: a clip may be called "e".
        reason = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", reason.removeprefix(f"{name}: "))
    return _NUMBER.sub("…", _QUOTED.sub("…", reason))


def names_of(path: Path, clip: str) -> list[str]:
    """What a reason may call a clip: its file, with or without ending (a sidecar's name begins so), and its id."""
    return [str(path), str(path.with_suffix("") if path.name else path), clip]


def cause_of_refusal(reason: str, path: str) -> str:
    """The same for what a reader refused, whose rows name other clips and files: each name with a slash is one."""
    return cause(reason, [path, *re.findall(r"\S*/[^\s:;,]*", reason)])
