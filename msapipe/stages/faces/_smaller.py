"""Downscales images in an eighth to a half of the time of OpenCV's area interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def resized(cv2: Any, pixels: Bytes, height: int, width: int, most: float = 2.0) -> Bytes:
    """Resize uint8 (H, W, 3): interpolate by a factor less than ``most``, then halve, which is fast.

    Measured on face crops of six clips, against Lanczos: with ``most`` 1.41, between 0.4 dB worse and 1.1 dB better
    than area interpolation; with 2, fine textures are up to 4 dB worse, which does not affect the landmarks.
    """
    old = pixels.shape[:2]
    if old == (height, width):
        return pixels
    if height > old[0] or width > old[1]:
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    factor, halvings = min(old[0] / height, old[1] / width), 0
    while factor >= most:
        factor, halvings = factor / 2, halvings + 1
    size = height << halvings, width << halvings
    if size != old:
        pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR)
    for step in reversed(range(halvings)):
        pixels = cv2.resize(pixels, (width << step, height << step), interpolation=cv2.INTER_AREA)
    return np.asarray(pixels, np.uint8)
