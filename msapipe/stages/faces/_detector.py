"""The three networks of MTCNN on one frame: find every face, or follow faces from the previous frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MissingLibrary
from msapipe.stages.faces._cascade import Net, nets_in_torch, nets_on_cpu, suppressed
from msapipe.stages.faces._crops import resized

if TYPE_CHECKING:
    from pathlib import Path

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# Crops at which O-Net follows a face from one frame to the next, as (shift right, shift down, size) in sides of its
# square. O-Net's boxes lie 2 % higher and are 4 % larger than R-Net's, which the shifts undo. Measured against the
# median of facenet-pytorch on eight shifted frames, the error of a single facenet-pytorch run is 1.29 % of the eye
# distance (mean of six clips); that of three crops is 1.44 %, five 1.17 %, seven 1.10 %.
JITTER = (
    (0.0, 0.02, 0.965),
    (0.05, 0.02, 1.0),
    (-0.05, 0.02, 0.925),
    (0.0, 0.07, 0.925),
    (0.0, -0.03, 1.0),
)

# P-Net and R-Net only locate faces: their frame is halved until the smallest face is 24 to 48 pixels wide. O-Net, which
# measures, always gets the full frame.
ROUGH = 24.0

# A face this much larger than the frame's shorter side cannot be followed.
LARGEST = 2.0

# Search range around a lost face, in sides of its box, and the largest factor by which it may have shrunk.
NEAR, ALIKE = 1.75, 1.4

# Smaller faces carry no useful features; also the minimum in ``exact`` mode, as in facenet-pytorch.
LEAST = 20.0

# Offset from the pixels that a crop covers to the corresponding box of facenet-pytorch, which truncates fractions (half
# a pixel on average) only for cropping, and starts boxes one pixel late.
HALF = np.array([1.5, 1.5, 0.5, 0.5])

# A candidate that shares more than this part of itself with a known face is that face.
SAME = 0.7


class Found(NamedTuple):
    """Faces of one frame: boxes (n, 4) x1 y1 x2 y2, landmarks (n, 5, 2), score (n,); float32, pixels."""

    boxes: Floats
    landmarks: Floats
    score: Floats

    def take(self, which: NDArray[Any]) -> Found:
        """Select faces by index or mask."""
        return Found(self.boxes[which], self.landmarks[which], self.score[which])

    @classmethod
    def nothing(cls) -> Found:
        """No face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


class Detector:
    """MTCNN on one frame at a time, so that results do not depend on other frames in a batch.

    thresholds: of P-Net, R-Net and O-Net.   factor: ratio between levels of the image pyramid.
    exact: downscale as facenet-pytorch does, always from the full frame; else with OpenCV, from a reduced frame.
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
        self._resize: Callable[[Bytes, int, int], NDArray[Any]] = _torch_area if exact else partial(resized, self._cv2)

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Limit torch to one thread: more threads change the last bits and do not speed up networks this small."""
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

    def find(self, picture: Bytes, smallest: float, known: Floats | None = None) -> Found:
        """Every face of uint8 (H, W, 3) RGB whose side is at least ``smallest`` pixels, except known ones (n, 4)."""
        known = known if known is not None else Found.nothing().boxes
        boxes = self._rough(picture, smallest, known)
        cells, there = clipped(boxes, picture)
        if not there.any():
            return Found.nothing()
        found = self._read(boxes[there], self._crops(picture, cells[there], 48))
        found = found.take(found.score > self._thresholds[2])
        return found.take(distinct(found.boxes, found.score, 0.7))

    def find_near(self, picture: Bytes, lost: Floats, known: Floats) -> Found:
        """Faces near the places where they were lost (n, 4), of similar size, except known ones (m, 4)."""
        found = [Found.nothing()]
        for box, side in zip(lost, sides(lost), strict=True):
            middle = (box[:2] + box[2:]) / 2
            cells, there = clipped(np.concatenate([middle - side * NEAR, middle + side * NEAR])[None], picture)
            if there[0]:
                x1, y1, x2, y2 = cells[0].tolist()
                corner = np.array([x1, y1, x1, y1], np.float32)
                seen = self.find(picture[y1:y2, x1:x2], max(float(side) / ALIKE, LEAST), known - corner)
                found.append(Found(seen.boxes + corner, seen.landmarks + corner[:2], seen.score))
        every = Found(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
        return every.take(distinct(every.boxes, every.score, 0.7))

    def _rough(self, picture: Bytes, smallest: float, known: Floats) -> Floats:
        """Candidate squares (n, 4) from P-Net and R-Net."""
        if not self._exact and smallest >= 2 * ROUGH and min(picture.shape[:2]) >= 2:
            return self._rough(self._halved(picture), smallest / 2, known * np.float32(0.5)) * np.float32(2)
        boxes = square(self._propose(picture, smallest, known))
        cells, there = clipped(boxes, picture)
        if not there.any():
            return boxes[there]
        shift, chance = self._nets[1](self._crops(picture, cells[there], 24))
        good = chance > self._thresholds[1]
        boxes, shift, score = boxes[there][good], shift[good], chance[good]
        # Each remaining candidate costs an O-Net crop; two that overlap by half are one face.
        keep = suppressed(boxes, score, 0.7 if self._exact else 0.5)
        return square(corrected(boxes[keep], shift[keep]))

    def follow(self, picture: Bytes, boxes: Floats) -> Found:
        """The faces that were at ``boxes`` (n, 4) in the last frame, in the same order; a lost face has a low score."""
        out = Found(boxes.copy(), np.zeros((len(boxes), 5, 2), np.float32), np.zeros(len(boxes), np.float32))
        looks = jittered(boxes)
        cells, there = clipped(looks.reshape(-1, 4), picture)
        cells, there = cells.reshape(looks.shape), there.reshape(looks.shape[:2])
        # Otherwise the face left the frame, or its box diverged.
        good = there.all(1) & (sides(boxes) <= LARGEST * min(picture.shape[:2]))
        if not good.any():
            return out
        seen = cells[good].reshape(-1, 4)
        said = self._read((seen + HALF).astype(np.float32), self._crops(picture, seen, 48))
        every, landmarks, score = (a.reshape(-1, len(JITTER), *a.shape[1:]) for a in said)
        weight = score / np.maximum(score.sum(1, keepdims=True), 1e-6)
        out.boxes[good] = (every * weight[:, :, None]).sum(1)
        out.landmarks[good] = (landmarks * weight[:, :, None, None]).sum(1)
        out.score[good] = score.mean(1)
        return out

    def _propose(self, picture: Bytes, smallest: float, known: Floats) -> Floats:
        """P-Net on every level of the image pyramid: candidate boxes (n, 4)."""
        height, width = picture.shape[:2]
        source, levels = picture, []
        for scale in pyramid(min(height, width), smallest, self._factor):
            size = int(height * scale + 1), int(width * scale + 1)
            if not self._exact and source is picture:
                source = resized(self._cv2, picture, *size)
            shift, chance = self._nets[0](np.asarray(self._resize(source, *size), np.float32)[None])
            levels.append(self._candidates(shift[0], chance[0], scale, known))
        found = np.concatenate(levels) if levels else np.zeros((0, 9), np.float32)
        found = found[suppressed(found[:, :4], found[:, 4], 0.7)]
        sides = np.tile(found[:, 2:4] - found[:, :2], 2)
        return np.asarray(found[:, :4] + found[:, 5:] * sides, np.float32)

    def _candidates(self, shift: Floats, chance: Floats, scale: float, known: Floats) -> Floats:
        """Candidate cells of one level: float32 (n, 9) box in frame pixels, face probability, shift of its sides."""
        y, x = np.nonzero(chance >= self._thresholds[0])
        corner = np.stack([x, y], 1).astype(np.float32) * 2  # P-Net's receptive field is 12 x 12 pixels, its stride 2
        near, far = np.floor((corner + 1) / np.float32(scale)), np.floor((corner + 12) / np.float32(scale))
        rows = np.concatenate([near, far, chance[y, x, None], shift[:, y, x].T], 1).astype(np.float32)
        if len(known):
            rows = rows[shared(rows[:, :4], known).max(1, initial=0) <= SAME]
        return rows[suppressed(rows[:, :4], rows[:, 4], 0.5)]

    def _read(self, boxes: Floats, crops: Floats) -> Found:
        """O-Net's output for square boxes (n, 4) and their crops."""
        shift, points, chance = self._nets[2](crops)
        sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
        landmarks = points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides + boxes[:, None, :2] - 1
        return Found(corrected(boxes, shift), np.asarray(landmarks, np.float32), chance)

    def _crops(self, picture: Bytes, cells: NDArray[np.int64], size: int) -> Floats:
        """Crops of cells (n, 4) of the frame: float32 (n, size, size, 3)."""
        crops = np.empty((len(cells), size, size, 3), np.float32)
        for crop, (x1, y1, x2, y2) in zip(crops, cells.tolist(), strict=True):
            crop[...] = self._resize(picture[y1:y2, x1:x2], size, size)
        return crops

    def _halved(self, pixels: Bytes) -> Bytes:
        height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
        return resized(self._cv2, pixels[: 2 * height, : 2 * width], height, width)  # exactly half, which is fast


def _torch_area(pixels: Bytes, height: int, width: int) -> Floats:
    """Mean of the pixels that each new pixel covers, as in facenet-pytorch."""
    import torch

    tensor = torch.from_numpy(pixels).permute(2, 0, 1).float()
    resized = torch.nn.functional.interpolate(tensor[None], size=(height, width), mode="area")
    return np.asarray(resized[0].permute(1, 2, 0).numpy(), np.float32)


def opencv() -> Any:
    """The module cv2; raises MissingLibrary."""
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


def clipped(boxes: Floats, picture: Bytes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The pixels x1 y1 x2 y2 (n, 4) of an image that boxes (n, 4) cover, and which boxes cover any."""
    limit = np.array(picture.shape[1::-1])
    whole = np.trunc(boxes).astype(np.int64)
    near, far = np.maximum(whole[:, :2], 1) - 1, np.minimum(whole[:, 2:], limit)
    return np.concatenate([near, far], 1), (far > near).all(1)


def jittered(boxes: Floats) -> Floats:
    """Jittered squares (n, 3, 4) around boxes (n, 4), in whole pixels, so that cropping shifts nothing."""
    middle, side = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2, sides(boxes)[:, None, None]
    moves = np.array(JITTER, np.float32)
    size = np.maximum(np.round(moves[None, :, 2:] * side), 1)
    near = np.round(middle + moves[None, :, :2] * side - size / 2)
    return np.concatenate([near + 1, near + size], 2).astype(np.float32)


def sides(boxes: Floats) -> Floats:
    """The longer side (n,) of boxes (n, 4)."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(1, initial=0), np.float32)


def shared(boxes: Floats, others: Floats) -> Floats:
    """Intersection over the smaller area, for every box of (n, 4) with every box of (m, 4): float32 (n, m)."""
    common = np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - np.maximum(boxes[:, None, :2], others[None, :, :2])
    areas = [(x[:, 2:] - x[:, :2]).prod(1) for x in (boxes, others)]
    smaller = np.maximum(np.minimum(areas[0][:, None], areas[1][None]), 1e-6)
    return np.asarray(common.clip(0).prod(2) / smaller, np.float32)


def square(boxes: Floats) -> Floats:
    """Each box (n, 4) widened to a square around its centre."""
    sides = boxes[:, 2:] - boxes[:, :2]
    side = sides.max(1, keepdims=True, initial=0)
    near = boxes[:, :2] + sides * np.float32(0.5) - side * np.float32(0.5)
    return np.concatenate([near, near + side], 1).astype(np.float32)


def corrected(boxes: Floats, shift: Floats) -> Floats:
    """Boxes (n, 4) with each side moved by a fraction (n, 4) of the box size."""
    return np.asarray(boxes + shift * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2), np.float32)


def distinct(boxes: Floats, score: Floats, share: float) -> NDArray[np.int64]:
    """Suppress boxes, best first, by intersection over the smaller area above ``share``; indices of the kept ones."""
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    left, kept = np.argsort(score)[::-1], []
    while len(left):
        best, rest = left[0], left[1:]
        kept.append(best)
        common = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2]) + 1
        shared = common.clip(0).prod(1) / np.minimum(area[best], area[rest])
        left = rest[shared <= share]
    return np.array(kept, np.int64)
