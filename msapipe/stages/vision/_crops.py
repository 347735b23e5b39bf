"""Batches of the speaker's face crops, and mapping of results back to the clip's frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MissingLibrary
from msapipe.media.options import next_due
from msapipe.types import FaceClip, FeatureSequence

View = Literal["aligned", "loose"]


def check_opencv(who_needs: str) -> None:
    """Raise MissingLibrary unless OpenCV, by which FaceClip decodes crops, loads; who_needs: "geometry needs"."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise MissingLibrary(
            f"{who_needs} OpenCV, which cannot be loaded ({error}); "
            "type: apt-get install libgl1 libglib2.0-0, or: uv pip install opencv-python-headless"
        ) from error


def crops(
    clip: FaceClip, view: View, size: int, count: int = 32
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Rows (n,) that hold a face, and their crops uint8 (n, size, size, 3) RGB, in batches of at most ``count``."""
    cut = clip.aligned if view == "aligned" else clip.loose
    return cut_out(clip, lambda row: cut(row, size), count)


def cut_out(
    clip: FaceClip, cut: Callable[[int], NDArray[np.uint8]], count: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Rows (n,) that hold a face, and what ``cut`` makes of each, (n, H, W, 3), at most ``count`` at a time."""
    rows = np.flatnonzero(clip.valid)
    for first in range(0, len(rows), count):
        some = rows[first : first + count]
        yield some, np.stack([cut(row) for row in some.tolist()])


def on_the_clip(
    clip: FaceClip, parts: list[tuple[NDArray[np.int64], NDArray[np.float32]]], names: tuple[str, ...]
) -> FeatureSequence:
    """Scatter rows (n, D) of frames with a face to (T, D) of the clip; the others are zero and invalid."""
    values = np.zeros((len(clip), len(names)), np.float32)
    for rows, found in parts:
        values[rows] = found
    return FeatureSequence.masked(values, clip.times, clip.valid, names)


def sampled(times: NDArray[np.float64], fps: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows (n,) of the first frame at or after each multiple of 1 / fps, and the end (n,) of each.

    This is the rule by which videos are decoded. A frame ends where the next kept one starts.
    """
    kept: list[int] = []
    due = -np.inf
    for row, start in enumerate(times[:, 0].tolist()):
        if start >= due:
            kept.append(row)
            due = next_due(start, fps)
    before_next = np.array([*kept[1:], len(times)], np.int64) - 1
    return np.array(kept, np.int64), times[before_next[: len(kept)], 1]
