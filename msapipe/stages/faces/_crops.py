"""Crops the loose square around a face from a frame, and downscales images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

LOOSE = 1.4  # side of the square over the side of the face's box
LARGEST = 192  # pixels, largest side of the stored crop
SMALLEST = 16
QUALITY = 95  # of the JPEG


def loose_square(box: NDArray[np.float32]) -> tuple[int, int, int]:
    """x, y, side of the square around a box, in whole pixels, so that the crop needs no interpolation."""
    side = max(SMALLEST, round(float((box[2:] - box[:2]).max()) * LOOSE))
    x, y = (box[:2] + box[2:]) / 2 - side / 2
    return round(float(x)), round(float(y)), side


def cut_out(cv2: Any, picture: NDArray[np.uint8], square: tuple[int, int, int]) -> bytes:
    """Crop the square from uint8 (H, W, 3) RGB as JPEG, never enlarged; black outside the frame."""
    x, y, side = square
    crop = picture[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
    if crop.shape[:2] != (side, side):
        inside, crop = crop, np.zeros((side, side, 3), np.uint8)
        top, left = max(-y, 0), max(-x, 0)
        crop[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    if side > LARGEST:
        crop = resized(cv2, crop, LARGEST, LARGEST, most=1.41)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return bytes(data)


def resized(cv2: Any, pixels: Bytes, height: int, width: int, most: float = 2.0) -> Bytes:
    """Resize uint8 (H, W, 3): interpolate by a factor less than ``most``, then halve.

    That takes an eighth to a half of the time of area interpolation.

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
