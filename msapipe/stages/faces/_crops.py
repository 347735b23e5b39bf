"""Cuts the loose square round a face out of a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.stages.faces._smaller import resized

LOOSE = 1.4  # side of the square in sides of the face's box
LARGEST = 192  # pixels of the stored picture
SMALLEST = 16
QUALITY = 95  # of the JPEG


def loose_square(box: NDArray[np.float32]) -> tuple[int, int, int]:
    """x, y, side of the square round a box, in whole pixels, so that the cut is exact."""
    side = max(SMALLEST, round(float((box[2:] - box[:2]).max()) * LOOSE))
    x, y = (box[:2] + box[2:]) / 2 - side / 2
    return round(float(x)), round(float(y)), side


def cut_out(cv2: Any, picture: NDArray[np.uint8], square: tuple[int, int, int]) -> bytes:
    """The square of uint8 (H, W, 3) RGB as a JPEG, never enlarged; black where it leaves the picture."""
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
