"""Clips of faces made in memory."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from msapipe.testing import fakes
from msapipe.types import EncodedImages, FaceClip, Speaker


def clip_of(pictures: list[NDArray[np.uint8]], seen: list[bool] | None = None) -> FaceClip:
    """A clip with these squares as faces, of which some are the speaker's."""
    coded = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
    tracks = replace(fakes.face_tracks(len(pictures)), crops=EncodedImages.join(coded))
    track = np.where(seen or [True] * len(pictures), 0, -1).astype(np.int64)
    return FaceClip(tracks, Speaker(track, np.ones(len(pictures), np.float32)))


def noise(count: int) -> list[NDArray[np.uint8]]:
    """Blurred noise, every picture another."""
    random = np.random.default_rng(3)
    made = [cv2.GaussianBlur(random.integers(0, 256, (100, 100, 3), np.uint8), (0, 0), 3) for _ in range(count)]
    return [cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX) for picture in made]
