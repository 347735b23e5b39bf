"""Splits in which no video stands on two sides: clips of one video share a speaker, a camera and often a sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from msapipe.errors import MsapipeError
from msapipe.types import Sample


def with_splits(samples: Sequence[Sample], seed: int = 0, shares: tuple[float, float] = (0.15, 0.2)) -> list[Sample]:
    """Every sample with a split, made by video where nobody gave one: ``shares`` are those of valid and test.

    The order of videos is that of a hash of their names, so adding clips moves no other video much. Raises
    MsapipeError when a video stands on two sides of a given split, or there are fewer than three videos.
    """
    if all(sample.split is not None for sample in samples):
        check_splits(samples)
        return list(samples)
    if any(sample.split is not None for sample in samples):
        bare = next(sample.id for sample in samples if sample.split is None)
        raise MsapipeError(f"clip {bare} has no split and others have one; give every clip a mode, or none")
    videos = _in_order({sample.video for sample in samples}, seed)
    if len(videos) < 3:
        raise MsapipeError(f"{len(videos)} videos cannot be split into train, valid and test; give a mode to each clip")
    valid, test = (max(1, round(share * len(videos))) for share in shares)
    side = dict.fromkeys(videos, "train") | dict.fromkeys(videos[:valid], "valid")
    side |= dict.fromkeys(videos[valid : valid + test], "test")
    return [replace(sample, split=side[sample.video]) for sample in samples]


def check_splits(samples: Sequence[Sample]) -> None:
    """Raise MsapipeError when clips of one video are in two splits."""
    side: dict[str, str | None] = {}
    for sample in samples:
        if side.setdefault(sample.video, sample.split) != sample.split:
            raise MsapipeError(
                f"video {sample.video} is in {side[sample.video]} and in {sample.split} (clip {sample.id}): "
                "a score would be that of recognising the video"
            )


def folds(
    samples: Sequence[Sample], count: int, seed: int = 0
) -> Iterator[tuple[list[Sample], list[Sample], list[Sample]]]:
    """Cross-validation by video: train, valid and test of each fold; every clip is in test once.

    valid is the fold after the one that is tested. Raises MsapipeError for fewer videos than folds.
    """
    videos = _in_order({sample.video for sample in samples}, seed)
    if not 3 <= count <= len(videos):
        raise MsapipeError(f"{count} folds of {len(videos)} videos: expected at least 3, and no more than videos")
    fold = {video: number % count for number, video in enumerate(videos)}
    for number in range(count):
        parts: dict[str, list[Sample]] = {"train": [], "valid": [], "test": []}
        for sample in samples:
            own = fold[sample.video]
            side = "test" if own == number else "valid" if own == (number + 1) % count else "train"
            parts[side].append(replace(sample, split=side))
        yield parts["train"], parts["valid"], parts["test"]


def _in_order(videos: set[str], seed: int) -> list[str]:
    return sorted(videos, key=lambda video: hashlib.sha256(f"{seed}/{video}".encode()).hexdigest())
