"""Results on disk. The name of each is a hash of everything that could change it."""

from msapipe.cache.key import digest, file_digest, stage_key
from msapipe.cache.open import open_store
from msapipe.cache.store import Entry, Store

__all__ = ["Entry", "Store", "digest", "file_digest", "open_store", "stage_key"]
