"""Where the cache is when nobody says, and what is an address of one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

# Two letters at least before the colon: one is a drive.
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def default_place() -> str:
    """MSAPIPE_CACHE, or msapipe's folder among the user's caches."""
    return os.environ.get("MSAPIPE_CACHE") or str(platformdirs.user_cache_path("msapipe"))


def default_folder() -> Path:
    """The default place where that is a folder, else msapipe's folder among the user's caches."""
    place = default_place()
    return platformdirs.user_cache_path("msapipe") if ADDRESS.match(place) else Path(place).expanduser().absolute()
