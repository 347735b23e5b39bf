"""Shards: several runs share the clips of a data set."""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from msapipe.datasets import Example, Refused
from msapipe.errors import ConfigError

_WRITTEN = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True)
class Shard:
    """Shard ``number`` of ``count``, counted from 1.

    Videos are never split. They are dealt in order, the one with most clips first, to the shard with the fewest clips
    so far. The deal depends only on the content of the data set, not on its order: each clip is in exactly one shard as
    long as all runs see the same data set. Each refused item also belongs to one shard, so that it is reported once.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "I/N"; raises ConfigError unless 1 <= I <= N."""
        found = _WRITTEN.fullmatch(text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise ConfigError(f"--shard {text}: expected I/N with I from 1 to N, as in 1/4, 2/4, 3/4 and 4/4")
        return cls(int(found[1]), int(found[2]))

    def share(self, items: Iterable[Example | Refused]) -> list[Example | Refused]:
        """The items of a data set that belong to this shard, in their original order."""
        items = list(items)
        clips = Counter(_video(item) for item in items if isinstance(item, Example))
        dealt = [(0, number) for number in range(1, self.count + 1)]
        mine = set()
        for video, count in sorted(clips.items(), key=lambda one: (-one[1], one[0])):
            held, number = dealt[0]
            heapq.heapreplace(dealt, (held + count, number))
            if number == self.number:
                mine.add(video)
        return [item for item in items if (self._tells(item) if isinstance(item, Refused) else _video(item) in mine)]

    def _tells(self, item: Refused) -> bool:
        number = int.from_bytes(hashlib.sha256(item.path.name.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        return number % self.count == self.number - 1


def _video(item: Example) -> str:
    """The unit that is never split: a name below the root, which each machine may mount elsewhere."""
    return item.video or item.clip.id
