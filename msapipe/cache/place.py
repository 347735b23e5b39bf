"""Which cache is meant: a folder, or the address of one in a storage service."""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

from msapipe.cache.store import Store
from msapipe.errors import RecipeError

# Two letters at least before the colon: one is a drive.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def default_place() -> str:
    """MSAPIPE_CACHE, or msapipe's folder among the user's caches."""
    return os.environ.get("MSAPIPE_CACHE") or str(platformdirs.user_cache_path("msapipe"))


def default_folder() -> Path:
    """The default place where that is a folder, else msapipe's folder among the user's caches."""
    place = default_place()
    return platformdirs.user_cache_path("msapipe") if _ADDRESS.match(place) else Path(place).expanduser().absolute()


def open_store(place: str | Path | None = None) -> Store:
    """The cache of a folder or an address ("s3://bucket/msapipe"); None: the default place.

    Raises RecipeError for an address of no known kind, MissingLibrary when the package for its kind is missing, and
    CacheError when there is no way to the service. A folder is not touched.
    """
    place = default_place() if place is None else place
    if not _ADDRESS.match(str(place)):
        return Store(Path(place))
    if isinstance(place, Path):
        raise RecipeError(f"the cache {place}: a Path drops a slash of an address; give it as a string")
    from msapipe.cache.remote import RemoteStore

    return RemoteStore(place)
