"""Which licences the user has accepted, of weights that may not be used for every purpose."""

from __future__ import annotations

import contextlib
import os

from msapipe.weights.folder import weights_folder

_FILE = "accepted-licences.txt"


def accepted() -> frozenset[str]:
    """Names of the weights whose licence was accepted on this machine, or by MSAPIPE_ACCEPT_LICENCES (a,b,c)."""
    named = {name.strip() for name in os.environ.get("MSAPIPE_ACCEPT_LICENCES", "").split(",")}
    with contextlib.suppress(OSError):  # nothing was accepted yet
        named |= {line.strip() for line in (weights_folder() / _FILE).read_text(encoding="utf-8").splitlines()}
    return frozenset(named - {""})


def accept(name: str) -> None:
    """Remember that the licence of these weights was accepted."""
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if name not in accepted():
        with (folder / _FILE).open("a", encoding="utf-8") as file:
            file.write(name + "\n")
