"""Splits by video, since clips of a video share a speaker and a camera; existing splits are used as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from msapipe.errors import MsapipeError
from msapipe.types import Sample


def with_splits(samples: Sequence[Sample], seed: int = 0, shares: tuple[float, float] = (0.15, 0.2)) -> list[Sample]:
    """Every sample with a split; missing splits are made by video, with ``shares`` for valid and test.

    Videos are ordered by a hash of their names, so that adding clips hardly moves other videos. An existing split is
    used as it is (see ``shared_videos``); a clip with neither label nor split then goes to train, or to the split of
    its video. Raises MsapipeError when only some labelled clips have a split, or when fewer than three videos are left
    to split.
    """
    given = {sample.video: sample.split for sample in samples if sample.split is not None}
    if given:
        bare = next((sample.id for sample in samples if sample.split is None and sample.labels), None)
        if bare is not None:
            raise MsapipeError(f"clip {bare} has no split and others have one; give every clip a mode, or none")
        return [
            sample if sample.split else replace(sample, split=given.get(sample.video, "train")) for sample in samples
        ]
    videos = _in_order({sample.video for sample in samples}, seed)
    if len(videos) < 3:
        raise MsapipeError(f"{len(videos)} videos cannot be split into train, valid and test; give a mode to each clip")
    valid, test = (max(1, round(share * len(videos))) for share in shares)
    side = dict.fromkeys(videos, "train") | dict.fromkeys(videos[:valid], "valid")
    side |= dict.fromkeys(videos[valid : valid + test], "test")
    return [replace(sample, split=side[sample.video]) for sample in samples]


def shared_videos(samples: Sequence[Sample]) -> str:
    """A sentence on videos with clips in two or more splits, with their number; "" without any."""
    sides: dict[str, set[str]] = {}
    for sample in samples:
        if sample.split is not None:
            sides.setdefault(sample.video, set()).add(sample.split)
    torn = [found for found in sides.values() if len(found) > 1]
    if not torn:
        return ""
    pairs = (("train", "valid"), ("train", "test"), ("valid", "test"))
    counts = [(sum({a, b} <= found for found in torn), f"{a} and {b}") for a, b in pairs]
    named = ", ".join(f"{count} in {where}" for count, where in counts if count)
    return (
        f"the split that was given is used, and {len(torn)} of {len(sides)} videos have clips on two sides of it "
        f"({named}): a score may partly be that of recognising the speaker or the video"
    )


def folds(
    samples: Sequence[Sample], count: int, seed: int = 0
) -> Iterator[tuple[list[Sample], list[Sample], list[Sample]]]:
    """Cross-validation by video: train, valid and test of each fold; every clip is in test once.

    valid is the fold after the test fold. Raises MsapipeError for fewer videos than folds.
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
