"""Open a cache by its folder or by its address in a storage service."""

from __future__ import annotations

from pathlib import Path

from msapipe.cache.place import ADDRESS, default_place
from msapipe.cache.store import Store
from msapipe.errors import ConfigError


def open_store(place: str | Path | None = None) -> Store:
    """The cache at a folder or an address ("s3://bucket/msapipe"); None: the default place.

    Raises ConfigError for an unknown kind of address, MissingLibrary when the package for it is missing, and CacheError
    when the service cannot be reached. A folder is not touched.
    """
    place = default_place() if place is None else place
    if not ADDRESS.match(str(place)):
        return Store(Path(place))
    if isinstance(place, Path):
        raise ConfigError(f"the cache {place}: a Path drops a slash of an address; give it as a string")
    from msapipe.cache.remote import RemoteStore

    return RemoteStore(place)
