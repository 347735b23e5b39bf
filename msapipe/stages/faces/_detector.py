"""The three nets of MTCNN on one picture: find every face, or follow one from the picture before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MissingLibrary
from msapipe.stages.faces._cascade import Net, nets_in_torch, nets_on_cpu, suppressed

if TYPE_CHECKING:
    from pathlib import Path

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# Where a face is looked for from one picture to the next, as (shift right, shift down, size) in sides of its square.
# Three looks halve the noise of one; measured, five or seven gain little more.
JITTER = ((0.0, 0.0, 1.0), (0.05, 0.03, 1.05), (-0.05, -0.03, 0.95))

# P-Net and R-Net look for places only: they get a picture halved until the smallest face is 24 to 48 pixels wide.
# O-Net, which measures, always gets the full picture.
ROUGH = 24.0

# A face this much larger than the picture's shorter side cannot be followed.
LARGEST = 2.0


class Found(NamedTuple):
    """Faces of one picture: boxes (n, 4) x1 y1 x2 y2, landmarks (n, 5, 2), score (n,); float32, pixels."""

    boxes: Floats
    landmarks: Floats
    score: Floats

    def take(self, which: NDArray[Any]) -> Found:
        """Some of the faces, by index or mask."""
        return Found(self.boxes[which], self.landmarks[which], self.score[which])

    @classmethod
    def nothing(cls) -> Found:
        """No face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


class Detector:
    """MTCNN on one picture at a time, so that no result depends on what else is in a batch.

    thresholds: of P-Net, R-Net and O-Net.   factor: from one level of the pyramid to the next.
    exact: average pixels as facenet-pytorch does, always from the full picture; else with OpenCV, from a reduced one.
    """

    def __init__(
        self,
        weights: tuple[Path, Path, Path],
        device: str,
        thresholds: tuple[float, float, float],
        factor: float,
        exact: bool,
    ) -> None:
        self._cv2 = opencv()
        self._thresholds, self._factor, self._exact = thresholds, factor, exact
        self._in_torch = exact or device != "cpu"
        self._nets: list[Net] = nets_in_torch(weights, device) if self._in_torch else nets_on_cpu()
        self._resize: Callable[[Bytes, int, int], Floats] = _torch_area if exact else self._cv2_area

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Let torch compute in one thread: more would change the last bits, and gain nothing on nets this small."""
        if not self._in_torch:
            yield
            return
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def find(self, picture: Bytes, smallest: float) -> Found:
        """Every face of uint8 (H, W, 3) RGB whose side is at least ``smallest`` pixels."""
        boxes, crops = self._crops(picture, self._rough(picture, smallest), 48)
        if not len(boxes):
            return Found.nothing()
        found = self._read(boxes, crops)
        found = found.take(found.score > self._thresholds[2])
        return found.take(distinct(found.boxes, found.score, 0.7))

    def _rough(self, picture: Bytes, smallest: float) -> Floats:
        """Squares (n, 4) that P-Net and R-Net take for faces."""
        if not self._exact and smallest >= 2 * ROUGH and min(picture.shape[:2]) >= 2:
            return self._rough(self._halved(picture), smallest / 2) * np.float32(2)
        boxes, crops = self._crops(picture, square(self._propose(picture, smallest)), 24)
        if not len(boxes):
            return boxes
        shift, chance = self._nets[1](crops)
        good = chance[:, 1] > self._thresholds[1]
        boxes, shift, score = boxes[good], shift[good], chance[good, 1]
        keep = suppressed(boxes, score, 0.7)
        return square(corrected(boxes[keep], shift[keep]))

    def follow(self, picture: Bytes, boxes: Floats) -> Found:
        """The faces that lay in ``boxes`` (n, 4) a moment ago, same order; a lost one has a low score."""
        middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0)
        moves = np.array(JITTER, np.float32)
        centres = middle[:, None] + moves[None, :, :2] * side[:, None, None]
        halves = (moves[None, :, 2] * side[:, None] / 2)[:, :, None]
        looks = np.concatenate([centres - halves, centres + halves], 2).astype(np.float32)
        out = Found(boxes.copy(), np.zeros((len(boxes), 5, 2), np.float32), np.zeros(len(boxes), np.float32))
        for face, places in enumerate(looks):
            seen, crops = self._crops(picture, places, 48)
            if len(seen) < len(places) or side[face] > LARGEST * min(picture.shape[:2]):
                continue  # it left the picture, or the box ran away
            answers = self._read(seen, crops)
            weight = (answers.score / max(float(answers.score.sum()), 1e-6))[:, None]
            out.boxes[face] = (answers.boxes * weight).sum(0)
            out.landmarks[face] = (answers.landmarks * weight[:, :, None]).sum(0)
            out.score[face] = answers.score.mean()
        return out

    def _propose(self, picture: Bytes, smallest: float) -> Floats:
        """P-Net on every level of the pyramid: boxes (n, 4) that may hold a face."""
        height, width = picture.shape[:2]
        source, levels = picture, []
        for scale in pyramid(min(height, width), smallest, self._factor):
            size = int(height * scale + 1), int(width * scale + 1)
            if not self._exact and source is picture:
                source = self._cv2.resize(picture, size[::-1], interpolation=self._cv2.INTER_AREA)
            shift, chance = self._nets[0](self._resize(source, *size)[None])
            levels.append(self._candidates(shift[0], chance[0, 1], scale))
        found = np.concatenate(levels) if levels else np.zeros((0, 9), np.float32)
        found = found[suppressed(found[:, :4], found[:, 4], 0.7)]
        sides = np.tile(found[:, 2:4] - found[:, :2], 2)
        return np.asarray(found[:, :4] + found[:, 5:] * sides, np.float32)

    def _candidates(self, shift: Floats, chance: Floats, scale: float) -> Floats:
        """Cells of one level that may be a face: float32 (n, 9) box in picture pixels, chance, shift of its sides."""
        y, x = np.nonzero(chance >= self._thresholds[0])
        corner = np.stack([x, y], 1).astype(np.float32) * 2  # P-Net looks at 12 x 12 pixels, every second one
        near, far = np.floor((corner + 1) / np.float32(scale)), np.floor((corner + 12) / np.float32(scale))
        rows = np.concatenate([near, far, chance[y, x, None], shift[:, y, x].T], 1).astype(np.float32)
        return rows[suppressed(rows[:, :4], rows[:, 4], 0.5)]

    def _read(self, boxes: Floats, crops: Floats) -> Found:
        """What O-Net says of square boxes (n, 4) and their crops."""
        shift, points, chance = self._nets[2](crops)
        sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
        landmarks = points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides + boxes[:, None, :2] - 1
        return Found(corrected(boxes, shift), np.asarray(landmarks, np.float32), chance[:, 1])

    def _crops(self, picture: Bytes, boxes: Floats, size: int) -> tuple[Floats, Floats]:
        """The boxes that lie in the picture, at least in part, and what they show: float32 (n, size, size, 3)."""
        height, width = picture.shape[:2]
        whole = np.trunc(boxes).astype(np.int64)
        x1, y1 = np.maximum(whole[:, 0], 1) - 1, np.maximum(whole[:, 1], 1) - 1
        x2, y2 = np.minimum(whole[:, 2], width), np.minimum(whole[:, 3], height)
        inside = np.flatnonzero((x2 > x1) & (y2 > y1))
        crops = [self._resize(picture[y1[i] : y2[i], x1[i] : x2[i]], size, size) for i in inside]
        return boxes[inside], np.stack(crops) if crops else np.zeros((0, size, size, 3), np.float32)

    def _halved(self, pixels: Bytes) -> Bytes:
        height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
        even = pixels[: 2 * height, : 2 * width]  # exactly half: OpenCV is several times faster at that
        return np.asarray(self._cv2.resize(even, (width, height), interpolation=self._cv2.INTER_AREA), np.uint8)

    def _cv2_area(self, pixels: Bytes, height: int, width: int) -> Floats:
        if pixels.shape[:2] != (height, width):
            pixels = self._cv2.resize(pixels, (width, height), interpolation=self._cv2.INTER_AREA)
        return np.asarray(pixels, np.float32)


def _torch_area(pixels: Bytes, height: int, width: int) -> Floats:
    """The mean of the pixels that each new one covers, as facenet-pytorch takes it."""
    import torch

    tensor = torch.from_numpy(pixels).permute(2, 0, 1).float()
    resized = torch.nn.functional.interpolate(tensor[None], size=(height, width), mode="area")
    return np.asarray(resized[0].permute(1, 2, 0).numpy(), np.float32)


def opencv() -> Any:
    """cv2; raises MissingLibrary."""
    try:
        import cv2
    except ImportError as error:
        raise MissingLibrary(
            f"faces need OpenCV, which cannot be loaded ({error}); for a missing libGL "
            "type: apt-get install libgl1 libglib2.0-0, or: uv pip install opencv-python-headless; "
            "for a missing package type: uv pip install msapipe"
        ) from error
    return cv2


def pyramid(shorter: int, smallest: float, factor: float) -> Iterator[float]:
    """Scales at which a face of ``smallest`` pixels, and every larger one, is 12 pixels wide."""
    scale = 12.0 / smallest
    left = shorter * scale
    while left >= 12:
        yield scale
        scale, left = scale * factor, left * factor


def square(boxes: Floats) -> Floats:
    """Each box (n, 4) widened to a square about its middle."""
    sides = boxes[:, 2:] - boxes[:, :2]
    side = sides.max(1, keepdims=True, initial=0)
    near = boxes[:, :2] + sides * np.float32(0.5) - side * np.float32(0.5)
    return np.concatenate([near, near + side], 1).astype(np.float32)


def corrected(boxes: Floats, shift: Floats) -> Floats:
    """Boxes (n, 4) with each side moved by a share (n, 4) of the box."""
    return np.asarray(boxes + shift * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2), np.float32)


def distinct(boxes: Floats, score: Floats, share: float) -> NDArray[np.int64]:
    """Which boxes stay when each, the best first, removes those that share more than this part of the smaller one."""
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    left, kept = np.argsort(score)[::-1], []
    while len(left):
        best, rest = left[0], left[1:]
        kept.append(best)
        common = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2]) + 1
        shared = common.clip(0).prod(1) / np.minimum(area[best], area[rest])
        left = rest[shared <= share]
    return np.array(kept, np.int64)
