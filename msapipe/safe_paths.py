"""Check that a path stays within a folder once links are followed: unpacked archives may contain links."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def leads_out(path: Path, root: Path) -> bool:
    """Whether ``path`` leads outside ``root`` once links are followed; True also for a circle of links.

    ``root`` itself may be a link, since the user named it.
    """
    try:
        return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
    except (OSError, ValueError):
        return True


def member(group: Any, name: str) -> Any:
    """The member ``name`` of an HDF5 group (h5py), stored in the same file; raises KeyError if absent.

    HDF5 can link to other files and store arrays in other files, even in /etc: ValueError for both.
    """
    if not hasattr(group, "get"):
        raise ValueError(f"{name} is looked for in an array, not in a group")
    link = group.get(name, getlink=True)
    if link is not None and type(link).__name__ != "HardLink":
        raise ValueError(f"{name} is a link; links, which may lead into other files, are refused")
    found = group[name]
    if getattr(found, "external", None) or getattr(found, "is_virtual", False):
        raise ValueError(f"{name} has its bytes in another file, which is refused")
    return found
