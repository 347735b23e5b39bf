"""One of several runs that share the clips of a data set among them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from msapipe.datasets import Example, Refused
from msapipe.errors import RecipeError

_WRITTEN = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True)
class Shard:
    """Number ``number`` of ``count`` shards, counted from 1.

    A clip belongs to the shard that a hash of its video says, whatever else is in the data set and in whatever order,
    so each clip is in one shard, and clips of one file are in the same. Shards are of about one size where there are
    many videos. What was refused belongs to one shard too, so that it is told once.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "I/N"; raises RecipeError unless 1 <= I <= N."""
        found = _WRITTEN.fullmatch(text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise RecipeError(f"--shard {text}: expected I/N with I from 1 to N, as in 1/4, 2/4, 3/4 and 4/4")
        return cls(int(found[1]), int(found[2]))

    def holds(self, item: Example | Refused) -> bool:
        """Whether a clip, or what was refused, belongs to this shard."""
        # Only names below the root count: it may be mounted elsewhere on each machine.
        name = item.path.name if isinstance(item, Refused) else item.video or item.clip.id
        number = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        return number % self.count == self.number - 1
