"""The user's accepted licences of weights with restricted use."""

from __future__ import annotations

import contextlib
import os

from msapipe.errors import WeightsError
from msapipe.weights.folder import weights_folder

_FILE = "accepted-licences.txt"


def accepted() -> frozenset[str]:
    """Names of the weights whose licence was accepted on this machine, or by MSAPIPE_ACCEPT_LICENCES (a,b,c)."""
    named = {name.strip() for name in os.environ.get("MSAPIPE_ACCEPT_LICENCES", "").split(",")}
    with contextlib.suppress(OSError):  # nothing accepted yet
        named |= {line.strip() for line in _lines()}
    return frozenset(named - {""})


def accept(name: str) -> None:
    """Record that the licence of these weights was accepted; raises WeightsError if that cannot be written."""
    folder = weights_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if name in map(str.strip, _lines()):
                return
        with (folder / _FILE).open("a", encoding="utf-8") as file:
            file.write(name + "\n")
    except OSError as error:
        raise WeightsError(
            f"{folder / _FILE} cannot be written: {error.strerror}; name another folder with MSAPIPE_WEIGHTS, "
            f"or set MSAPIPE_ACCEPT_LICENCES={name}"
        ) from error


def _lines() -> list[str]:
    return (weights_folder() / _FILE).read_text(encoding="utf-8", errors="replace").splitlines()
