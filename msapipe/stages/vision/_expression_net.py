"""The facial expression network and its input images; models/pocket_face/network.py has what only training needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.stages._onnx import session
from msapipe.stages.vision._crops import check_opencv
from msapipe.types import FaceClip
from msapipe.types.faces import ALIGNED_112, similarity
from msapipe.weights import Bundled

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
NEGATIVE = ("anger", "disgust", "fear", "sadness")

SIDE = 64  # pixels, side of the input image
EMBEDDING = 32

POCKET_FACE = Bundled(
    name="pocket_face",
    file="model.onnx",
    sha256="b361da5cdfcf9124cf296a744c93cd6ea2f364098f0c10a21322cacb41e8843b",
    bytes=1147319,
    licence="Apache-2.0",
    source="models/pocket_face/train.py",
)

# Fixed batch size, padded with black images: with another batch size, a convolution sums in another order, and the last
# digits of a face would depend on how many others the clip holds.
COUNT = 4

# Standard deviation in grey levels of an image without content; the least of 6,190 photographs is 15.
LEAST_CONTRAST = 3.0

# ArcFace's landmarks relative to the centre of this crop, which is tighter and lower, to include a wide open mouth.
_TEMPLATE = (ALIGNED_112 - np.array([56, 62], np.float32)) * np.float32(SIDE / 97)


def picture(clip: FaceClip, row: int, field: int = SIDE) -> Bytes:
    """The speaker's face, upright, with eyes 23 pixels apart: grey, uint8 (field, field); black in invalid rows.

    ``field`` is the size around the same centre; training crops from larger images. Outside the video frame, the edge
    is repeated.
    """
    import cv2

    if not clip.valid[row]:
        return np.zeros((field, field), np.uint8)
    square = np.asarray(cv2.cvtColor(clip.square(row), cv2.COLOR_RGB2GRAY), np.uint8)
    left, top, right, bottom = _inside(clip, row, square.shape[0])
    seen = square[top:bottom, left:right]
    if _too_large(clip, row):
        return filling(seen, field)
    points = clip.landmarks_in_square(row, square.shape[0])
    return _warped(seen, points - np.array([left, top], np.float32), _TEMPLATE, field)


def filling(seen: Bytes, field: int = SIDE) -> Bytes:
    """The centre of a grey image (H, W) filled by a face, with its shorter side scaled to the crop's width."""
    height, width = seen.shape
    corners = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32) * np.float32(0.5)
    middle = np.array([width / 2, height / 2], np.float32)
    return _warped(seen, corners * np.float32(min(seen.shape)) + middle, corners * np.float32(SIDE), field)


def normalised(pictures: Bytes) -> Floats:
    """Images uint8 (n, H, W) as float32 (n, 1, H, W), each with mean 0 and standard deviation 1."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat = (flat - flat.mean(1, keepdims=True)) / (flat.std(1, keepdims=True) + np.float32(1))
    return np.asarray(flat.reshape(len(pictures), 1, *pictures.shape[1:]), np.float32)


def _too_large(clip: FaceClip, row: int) -> bool:
    """Whether the box is larger than the frame: MTCNN's landmarks are wrong for a face that fills the frame."""
    height, width = clip.frame_size
    return bool(np.any(clip.boxes[row, 2:] - clip.boxes[row, :2] > (width, height)))


def _inside(clip: FaceClip, row: int, size: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of the square inside the frame, in pixels of ``size``."""
    x, y, side = (float(value) for value in clip.squares[row])
    height, width = clip.frame_size
    edges = np.array([max(-x, 0), max(-y, 0), min(width - x, side), min(height - y, side)]) * size / side
    left, top = (int(edge) for edge in np.ceil(edges[:2] - 1e-3))
    right, bottom = (int(edge) for edge in np.floor(edges[2:] + 1e-3))
    left, top = min(max(left, 0), size - 1), min(max(top, 0), size - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _warped(seen: Bytes, points: Floats, template: Floats, field: int) -> Bytes:
    """Warp a grey image (H, W) by the similarity that maps ``points`` to the template around the centre."""
    import cv2

    # Warped at twice the size and averaged 2 x 2: a plain warp would skip pixels of large faces.
    matrix = similarity(points, template * np.float32(2) + np.float32(field))
    warped = cv2.warpAffine(
        seen, matrix, (2 * field, 2 * field), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.resize(warped, (field, field), interpolation=cv2.INTER_AREA), np.uint8)


def load_net(path: Path) -> Any:
    """Load a network for a stage that crops faces; raises MissingLibrary, WeightsError."""
    check_opencv("expressions need")
    return session(path)


def read_clip(
    net: Any, clip: FaceClip, columns: int, judge: Callable[[Floats, Floats, Floats], Floats]
) -> tuple[NDArray[np.bool_], Floats]:
    """Rows with a face that is not uniform grey, bool (T,), and ``judge`` of their probabilities (n, 7), units (n, 17)
    and embedding (n, 32), as float32 (T, columns); ignore the values of other rows.
    """
    values = np.zeros((len(clip), columns), np.float32)
    seen = clip.valid.copy()
    rows = np.flatnonzero(seen)
    for first in range(0, len(rows), COUNT):
        some = rows[first : first + COUNT]
        pictures = np.zeros((COUNT, SIDE, SIDE), np.uint8)
        pictures[: len(some)] = [picture(clip, int(row)) for row in some]
        seen[some] = pictures[: len(some)].std((1, 2)) >= LEAST_CONTRAST
        values[some] = judge(*net.run(None, {"pictures": normalised(pictures)}))[: len(some)]
    return seen, values
