"""Whether a path stays below a folder when all links are followed: what was unpacked from an archive may hold links."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def leads_out(path: Path, root: Path) -> bool:
    """Whether ``path``, its links followed, lies outside ``root``; also where that cannot be told (a circle of links).

    ``root`` itself may be a link: it was named by the user.
    """
    try:
        return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
    except (OSError, ValueError):
        return True


def member(group: Any, name: str) -> Any:
    """What an HDF5 group (h5py) holds under a name, of this very file; raises KeyError when absent.

    HDF5 knows links to other files, and arrays whose bytes lie in other files, as far as /etc: ValueError for both.
    """
    link = group.get(name, getlink=True)
    if link is not None and type(link).__name__ != "HardLink":
        raise ValueError(f"{name} is a link; links, which may lead into other files, are refused")
    found = group[name]
    if getattr(found, "external", None) or getattr(found, "is_virtual", False):
        raise ValueError(f"{name} has its bytes in another file, which is refused")
    return found
