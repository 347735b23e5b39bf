"""A portrait that talks: one displacement field per frame bends it, and nothing is pasted on.

The points below were measured by hand on `skimage.data.astronaut()` (512 x 512). Each curve runs across the face and
gives a height for every column. To move the face is to move the curves: between two of them a column is stretched
or squeezed, so skin stays skin. The teeth belong to the skull and do not move; the lips slide over them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from skimage import data

Image = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Row = npt.NDArray[np.float64]
Point = tuple[float, float]

# The part of the portrait that can bend, and the lattice on which its vertical displacement is worked out.
LEFT, RIGHT, TOP, BOTTOM, STEP = 178.0, 274.0, 70.0, 205.0, 0.3
MIDDLE = 224.5  # the column of nose and chin
MOUTH_HALF = 21.5  # from the middle of the mouth to a corner
MOUTH_Y = 145.0
NECK = (226.0, 190.0)  # the head turns about this point
PORTRAIT_GAP = 6.2  # between the lips, as photographed

BROWS = [(184, 93), (190, 91), (198, 88.8), (205, 90.3), (213, 92.6), (225, 94), (237, 93.6), (247, 92.5),
         (257, 93), (263, 96), (270, 98)]  # fmt: skip
UPPER_LIDS = [(178, 100), (191, 101), (195, 99.3), (200, 98.3), (205, 98.6), (210, 100.6), (214, 103.2),
              (236, 105.2), (240, 102.5), (244, 100.6), (249, 100.4), (254, 101.8), (259, 104.5), (274, 105)]  # fmt: skip
LOWER_LIDS = [(178, 100.1), (191, 101.2), (195, 103.2), (200, 104.8), (205, 105.2), (210, 104.6), (214, 103.6),
              (236, 105.6), (240, 106.4), (245, 107.4), (249, 107.4), (254, 106.4), (259, 104.8), (274, 105.1)]  # fmt: skip
LIP_TOP = [(178, 136), (203, 139.2), (210, 139.8), (218, 139.6), (225, 140.2), (232, 139.8), (240, 139.4),
           (246, 139.2), (274, 137)]  # fmt: skip
LIP_SEAM_UPPER = [(178, 137), (203, 139.9), (206, 140.8), (210, 142), (215, 143), (220, 143.6), (225, 144),
                  (230, 143.6), (235, 142.6), (240, 141.2), (246, 139.9), (274, 138)]  # fmt: skip
LIP_SEAM_LOWER = [(178, 137.1), (203, 140.1), (206, 143.6), (210, 147.2), (215, 149.4), (220, 150.2), (225, 150.2),
                  (230, 149.4), (235, 147.4), (240, 143.9), (246, 140.1), (274, 138.1)]  # fmt: skip
LIP_BOTTOM = [(178, 139), (203, 142), (206, 146.4), (210, 150.6), (215, 153.6), (220, 155), (226, 155),
              (232, 153.2), (238, 149), (243, 144.5), (246, 142), (274, 140)]  # fmt: skip
CHIN = [(178, 146), (187, 155), (195, 166), (203, 172), (212, 176.5), (225, 179), (238, 175.5), (248, 169),
        (256, 160), (264, 148), (274, 146)]  # fmt: skip


@dataclass(frozen=True)
class Pose:
    """Where the movable parts of the face are, in pixels of the portrait."""

    gap: float = PORTRAIT_GAP  # between the lips
    corners: float = 0.0  # mouth corners: positive is down
    narrow: float = 0.0  # how much narrower the mouth is, as a share of its width
    lip: float = 0.0  # middle of the upper lip: positive is down
    brow_inner: float = 0.0  # positive is down
    brow_outer: float = 0.0
    frown: float = 0.0  # brows drawn together
    lids: float = 0.0  # 0 is open, 1 is closed
    shift: Point = (0.0, 0.0)  # of the head
    turn: float = 0.0  # of the head, in degrees


@dataclass(frozen=True)
class Look:
    """What makes another person of the same portrait."""

    mirror: bool = False
    hair: tuple[float, float, float] = (1.0, 1.0, 1.0)  # factors for red, green, blue
    suit_hue: int = 0  # added to OpenCV's hue, of which 180 make a circle
    jaw: float = 0.0  # wider (positive) or narrower towards the chin
    length: float = 0.0  # longer (positive) or shorter face
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)  # factors for the whole picture


@dataclass(frozen=True)
class Camera:
    """The part of the portrait that is shown and how large it is drawn."""

    left: float = 118.0
    top: float = 0.0
    span: float = 216.0  # height of the part, in pixels of the portrait
    width: int = 360
    height: int = 360


class Puppet:
    """Draws the portrait in any pose."""

    ZOOM = 3  # the portrait is enlarged once, smoothly, before it is bent
    OVERSAMPLING = 2  # frames are drawn larger and averaged down, so the lips have no jagged edge

    def __init__(self, look: Look, camera: Camera) -> None:
        self._look, self._camera = look, camera
        portrait = _dressed_up(data.astronaut(), look)
        self._portrait = cv2.resize(portrait, None, fx=self.ZOOM, fy=self.ZOOM, interpolation=cv2.INTER_CUBIC)
        width, height = camera.width * self.OVERSAMPLING, camera.height * self.OVERSAMPLING
        scale = camera.span / height
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        x = x[:, ::-1] if look.mirror else x
        self._x = np.ascontiguousarray((x + 0.5) * scale + camera.left, np.float32)
        self._y = np.ascontiguousarray((y + 0.5) * scale + camera.top, np.float32)
        self._head = _head_weight(self._x, self._y)

    def draw(self, pose: Pose) -> Image:
        """One frame, RGB."""
        x, y = self._reshaped(*self._turned_back(pose))
        x = x + _sideways(x, y, pose)
        lift, dark = _columns(pose)
        u, v = (x - np.float32(LEFT)) / np.float32(STEP), (y - np.float32(TOP)) / np.float32(STEP)
        y = y + cv2.remap(lift, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        shade = cv2.remap(dark, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[..., None]
        zoom, half = np.float32(self.ZOOM), np.float32(0.5)
        picture = cv2.remap(self._portrait, (x + half) * zoom - half, (y + half) * zoom - half, cv2.INTER_CUBIC,
                            borderMode=cv2.BORDER_REFLECT)  # fmt: skip
        inside = np.array([52, 20, 20], np.float32)
        picture = picture * (1 - shade) + inside * shade
        size = (self._camera.width, self._camera.height)
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        return np.clip(np.rint(small), 0, 255).astype(np.uint8)

    def _turned_back(self, pose: Pose) -> tuple[Field, Field]:
        """For each pixel, the point of the unturned head. The background and the shoulders stay put."""
        angle = np.deg2rad(pose.turn)
        dx, dy = self._x - NECK[0] - pose.shift[0], self._y - NECK[1] - pose.shift[1]
        x = NECK[0] + np.cos(angle) * dx + np.sin(angle) * dy
        y = NECK[1] - np.sin(angle) * dx + np.cos(angle) * dy
        weight = self._head
        return (self._x + weight * (x - self._x)).astype(np.float32), (self._y + weight * (y - self._y)).astype(
            np.float32
        )

    def _reshaped(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Undo the look's proportions."""
        look, weight = self._look, self._head
        lower = np.clip((y - 90) / 80, -0.6, 1)
        x = x - weight * look.jaw * lower * (x - MIDDLE)
        y = y - weight * look.length * (y - NECK[1])
        return x.astype(np.float32), y.astype(np.float32)


def _smooth(value: npt.ArrayLike, low: float, high: float) -> npt.NDArray[np.floating]:
    """0 below `low`, 1 above `high`, an S between."""
    t = np.clip((np.asarray(value) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _head_weight(x: Field, y: Field) -> Field:
    distance = np.hypot((x - 227) / 82, (y - 100) / 95)
    return np.asarray((1 - _smooth(distance, 1.0, 1.5)) * (1 - _smooth(y, 175, 232)), np.float32)


def _sideways(x: Field, y: Field, pose: Pose) -> Field:
    """Mouth made narrower, brows drawn together."""
    mouth = np.exp(-(((x - MIDDLE) / 30) ** 4) - ((y - MOUTH_Y) / 20) ** 2)
    brows = np.exp(-(((x - MIDDLE) / 20) ** 2) - ((y - 93) / 7) ** 2)
    near = (x - MIDDLE) / 12
    return np.asarray((x - MIDDLE) * pose.narrow * mouth + near * pose.frown * brows, np.float32)


def _curve(points: list[Point], u: Row) -> Row:
    """A measured curve at every column, its corners rounded a little."""
    xs, ys = zip(*points, strict=True)
    fine = np.interp(u, xs, ys)
    kernel = np.hanning(13)
    return np.convolve(np.pad(fine, 6, mode="edge"), kernel / kernel.sum(), mode="valid")


U = np.arange(LEFT, RIGHT, STEP)
V = np.arange(TOP, BOTTOM, STEP)
_MEASURED = {
    name: _curve(points, U)
    for name, points in {
        "brow": BROWS, "upper_lid": UPPER_LIDS, "lower_lid": LOWER_LIDS, "lip_top": LIP_TOP,
        "seam_upper": LIP_SEAM_UPPER, "seam_lower": LIP_SEAM_LOWER, "lip_bottom": LIP_BOTTOM, "chin": CHIN,
    }.items()
}  # fmt: skip
_EDGE = _smooth(np.minimum(U - LEFT, RIGHT - STEP - U), 0, 12)  # nothing moves at the border of the lattice


def _columns(pose: Pose) -> tuple[Field, Field]:
    """Vertical displacement (target to portrait) and darkness of the mouth, on the lattice."""
    here, there, lips = _knots(pose)
    lift = np.empty((V.size, U.size), np.float32)
    for column in range(U.size):
        lift[:, column] = np.interp(V, there[:, column], here[:, column]) - V
    return lift, _darkness(*lips)


def _knots(pose: Pose) -> tuple[Row, Row, tuple[Row, Row, Row]]:
    """Heights in the portrait and in the new pose, top to bottom; and the new lip seam with the teeth's edge."""
    m = _MEASURED
    side = np.abs(U - MIDDLE)
    inner = np.exp(-((np.abs(side - 12) / 9) ** 2))
    outer = np.exp(-((np.abs(side - 33) / 12) ** 2))
    brow = m["brow"] + pose.brow_inner * inner + pose.brow_outer * outer
    eye = m["lower_lid"] - m["upper_lid"]
    lower_lid = m["lower_lid"] - 0.15 * eye * pose.lids
    upper_lid = m["upper_lid"] + (lower_lid - m["upper_lid"]) * pose.lids

    corner = np.clip(side / MOUTH_HALF, 0, 1) ** 2 * (1 - _smooth(side, MOUTH_HALF, MOUTH_HALF + 16))
    bend = pose.corners * corner + pose.lip * (1 - _smooth(side, 4, MOUTH_HALF))
    open_by = pose.gap - PORTRAIT_GAP
    shape = (m["seam_lower"] - m["seam_upper"]) / PORTRAIT_GAP
    rise = -0.08 * max(0.0, open_by) * shape
    seam_upper = m["seam_upper"] + bend + rise
    seam_lower = seam_upper + np.maximum(pose.gap * shape, 0.02)
    lip_bottom = seam_lower + (m["lip_bottom"] - m["seam_lower"])
    jaw = np.exp(-((side / 30) ** 4))
    chin = m["chin"] + 0.5 * open_by * jaw * _EDGE

    teeth_from = np.clip(seam_upper, m["seam_upper"], m["seam_lower"])
    teeth_to = np.clip(seam_lower, teeth_from, m["seam_lower"])
    still = np.ones_like(U)
    nose = 131.0 * still
    pairs = [
        (TOP * still, TOP * still),
        (m["brow"], brow),
        (m["upper_lid"], upper_lid),
        (m["lower_lid"], lower_lid),
        (116 * still, 116 + 0.15 * bend * corner),
        (nose, nose + 0.45 * bend * corner),
        (m["lip_top"], m["lip_top"] + bend + 0.7 * rise),
        (m["seam_upper"], seam_upper),
        (teeth_from, seam_upper + 0.1),
        (teeth_to, np.minimum(teeth_to + 0.1, seam_lower - 0.1)),
        (m["seam_lower"], seam_lower),
        (m["lip_bottom"], lip_bottom),
        (m["chin"], chin),
        (BOTTOM * still, BOTTOM * still),
    ]
    here, there = (np.stack(rows) for rows in zip(*pairs, strict=True))
    there = here + (there - here) * _EDGE
    there = np.maximum.accumulate(there + 1e-3 * np.arange(len(pairs))[:, None], axis=0)
    return here, there, (seam_upper, seam_lower, np.minimum(m["seam_lower"], seam_lower))


def _darkness(upper: Row, lower: Row, teeth: Row) -> Field:
    """How dark the inside of the mouth is: under the teeth, softly under the lip, and along closed lips."""
    y = V[:, None]
    gap = lower - upper
    inside = _smooth(y - upper, -0.2, 0.5) * _smooth(lower - y, -0.2, 0.5)
    below_teeth = _smooth(y - teeth, -0.3, 1.2)
    under_lip = 0.45 * (1 - _smooth(y - upper, 0, 3.0))
    wide = _smooth(gap, 0.2, 1.2)
    opened = inside * np.maximum(below_teeth, under_lip) * wide
    inside_mouth = 1 - _smooth(np.abs(U - MIDDLE), MOUTH_HALF - 4, MOUTH_HALF)
    seam = 0.6 * np.exp(-(((y - (upper + lower) / 2) / 0.7) ** 2)) * (1 - _smooth(gap, 0.4, 2.5)) * inside_mouth
    return np.asarray(np.maximum(opened, seam), np.float32)


def _dressed_up(portrait: Image, look: Look) -> Image:
    """Another colour of hair and suit."""
    y, x = np.mgrid[: portrait.shape[0], : portrait.shape[1]].astype(np.float32)
    hsv = cv2.cvtColor(portrait, cv2.COLOR_RGB2HSV)
    suit = ((hsv[..., 0] < 14) & (hsv[..., 1] > 150) & (y > 150)).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0].astype(int) + look.suit_hue) % 180
    other = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    suit = cv2.GaussianBlur(suit, (0, 0), 1.0)[..., None]
    picture = portrait * (1 - suit) + other * suit
    picture = picture * (1 + _hair(portrait, x, y)[..., None] * (np.array(look.hair) - 1))
    return np.clip(picture * np.array(look.tint), 0, 255).astype(np.uint8)


def _hair(portrait: Image, x: Field, y: Field) -> Field:
    """Where the hair is, 0 to 1: brown inside the head's outline, outside the face."""
    lab = cv2.cvtColor(portrait, cv2.COLOR_RGB2LAB).astype(np.float32)
    head = 1 - _smooth(np.hypot((x - 227) / 77, (y - 78) / 68), 0.97, 1.06)
    face = 1 - _smooth(np.hypot((x - 225) / 43, (y - 128) / 56), 0.9, 1.03)
    brown = _smooth(lab[..., 2], 134, 142) + _smooth(110 - lab[..., 0], 0, 20)
    return np.asarray(cv2.GaussianBlur(np.clip(brown, 0, 1) * head * (1 - face), (0, 0), 0.8), np.float32)
