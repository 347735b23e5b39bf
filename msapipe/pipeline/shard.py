"""One of several runs that share the clips of a data set among them."""

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
    """Number ``number`` of ``count`` shards, counted from 1.

    Videos are dealt whole: one after the other, the one with most clips first, to the shard that has the fewest clips
    so far. The deal depends on what is in the data set, in whatever order, and on nothing else: each clip is in one
    shard as long as all of them see the same data set. What was refused belongs to one shard too, so that it is told
    once.
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
        """What of a data set belongs to this shard, in the order in which it came."""
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
    """What is not taken apart; only names below the root count, for it may be mounted elsewhere on each machine."""
    return item.video or item.clip.id
