"""The default place of the cache, and which places are addresses."""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

# At least two letters before the colon: a single one is a drive.
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def default_place() -> str:
    """MSAPIPE_CACHE, or msapipe's folder in the user's cache folder."""
    return os.environ.get("MSAPIPE_CACHE") or str(platformdirs.user_cache_path("msapipe"))


def default_folder() -> Path:
    """The default place if it is a folder, else msapipe's folder in the user's cache folder."""
    place = default_place()
    return platformdirs.user_cache_path("msapipe") if ADDRESS.match(place) else Path(place).expanduser().absolute()
