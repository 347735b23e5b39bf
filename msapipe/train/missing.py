"""Report modalities that most clips of a training set lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from msapipe.types import Sample


class Missing:
    """Counts clips (of train, if there are splits) and the modalities without a valid step in them."""

    def __init__(self) -> None:
        self._clips: Counter[bool] = Counter()
        self._has: Counter[tuple[bool, str]] = Counter()
        self._known: dict[str, None] = {}

    def watch(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Yield the same samples, counted."""
        for sample in samples:
            train = sample.split == "train"
            self._clips[train] += 1
            for name, part in sample.features.items():
                self._known[name] = None
                self._has[train, name] += bool(part.valid.any())
            yield sample

    def notes(self) -> list[str]:
        """A sentence on each modality that some clip has and most clips lack."""
        train = bool(self._clips[True])
        count = self._clips[train]
        lacks = {name: count - self._has[train, name] for name in self._known}
        what = "clips of train" if train else "clips"
        return [
            f"WARNING: {name} is missing in {number} of {count} {what}: what is trained on them hardly reads it"
            for name, number in lacks.items()
            if 2 * number > count
        ]
