"""ImageNet normalisation of images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
SPREAD = np.array([0.229, 0.224, 0.225], np.float32)


def normalised(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images uint8 (n, H, W, 3) RGB as float32 (n, 3, H, W), equal to torchvision's ToTensor and Normalize.

    The memory layout stays channels last, on which convolutions are fast.
    """
    count, height, width, _ = pictures.shape
    lines = pictures.reshape(count * height, width * 3).astype(np.float32)  # numpy is slow on an axis of length three
    lines /= np.float32(255)
    lines -= np.tile(MEAN, width)
    lines /= np.tile(SPREAD, width)
    return lines.reshape(pictures.shape).transpose(0, 3, 1, 2)
