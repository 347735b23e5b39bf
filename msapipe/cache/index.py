"""The index of a cache, one JSON line per entry, so that its size is known without walking it.

The entries are the truth; the index may be deleted, torn or out of date, and is rebuilt from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

NAME = "index.jsonl"


def append(root: Path, slot: str, key: str, size: int) -> None:
    """Append one line. A single short write in append mode stays whole even with several writers."""
    line = json.dumps({"slot": slot, "key": key, "bytes": size}) + "\n"
    with (root / NAME).open("a", encoding="ascii") as file:
        file.write(line)


def read(root: Path) -> dict[tuple[str, str], int] | None:
    """(slot, key) to bytes; None when there is no index. Torn lines are skipped."""
    try:
        lines = (root / NAME).read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    found: dict[tuple[str, str], int] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            found[str(entry["slot"]), str(entry["key"])] = int(entry["bytes"])
        except (ValueError, KeyError, TypeError):
            continue
    return found


def rebuild(root: Path, entries: Iterable[tuple[str, str, Path]]) -> dict[tuple[str, str], int]:
    """Rebuild the index from the entries themselves."""
    found = {(slot, key): path.stat().st_size for slot, key, path in entries}
    part = root / f"{NAME}.new"
    with part.open("w", encoding="ascii") as file:
        for (slot, key), size in found.items():
            file.write(json.dumps({"slot": slot, "key": key, "bytes": size}) + "\n")
    part.replace(root / NAME)
    return found
