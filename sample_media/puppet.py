"""A portrait that talks: one displacement field per frame bends it, and nothing is pasted on.

The points below were measured by hand on `skimage.data.astronaut()` (512 x 512). Each curve runs across the
face and gives a height for every column. To move the face is to move the curves: between two of them a column
is stretched or squeezed, so skin stays skin. The teeth belong to the skull: the lips slide over them.
"""

from __future__ import annotations

import math
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
LEFT, RIGHT, TOP, BOTTOM = 178.0, 274.0, 70.0, 205.0
STEP, FINE = 0.3, 0.1  # across and down; finer down, or the edge of the lips is dotted
MIDDLE = 224.5  # the column of nose and chin
MOUTH_HALF = 21.5  # from the middle of the mouth to a corner
MOUTH_Y = 145.0
NECK = (226.0, 190.0)  # the head turns about this point
PORTRAIT_GAP = 7.2  # between the lips, as photographed

BROWS = [(184, 93), (190, 91), (198, 88.8), (205, 90.3), (213, 92.6), (225, 94), (237, 93.6),
         (247, 92.5), (257, 93), (263, 96), (270, 98)]  # fmt: skip
UPPER_LIDS = [(178, 101), (189, 101.4), (192, 100.4), (195, 98.7), (200, 97.6), (205, 97.9),
              (210, 99.8), (214, 102.4), (217, 103.6), (233, 105.2), (236, 104.2), (240, 101.6),
              (244, 99.8), (249, 99.5), (254, 100.9), (259, 104), (262, 105), (274, 105)]  # fmt: skip
LOWER_LIDS = [(178, 101.1), (189, 101.5), (192, 102.4), (195, 103.8), (200, 105.4), (205, 105.8),
              (210, 105.3), (214, 104.4), (217, 103.7), (233, 105.3), (236, 106.4), (240, 107.3),
              (244, 108), (249, 108), (254, 107.2), (259, 105.6), (262, 105.1), (274, 105.1)]  # fmt: skip
LIP_TOP = [(178, 136), (203, 139.2), (210, 139.8), (218, 139.6), (225, 140.2), (232, 139.8),
           (240, 139.4), (246, 139.2), (274, 137)]  # fmt: skip
LIP_SEAM_UPPER = [(178, 137), (203, 139.7), (206, 140.2), (210, 141), (215, 142), (220, 142.7),
                  (225, 143), (230, 142.7), (235, 141.9), (240, 140.6), (246, 139.8), (274, 138)]  # fmt: skip
LIP_SEAM_LOWER = [(178, 137.1), (203, 140.1), (206, 143.6), (210, 147.2), (215, 149.4), (220, 150.2),
                  (225, 150.2), (230, 149.4), (235, 147.4), (240, 143.9), (246, 140.1),
                  (274, 138.1)]  # fmt: skip
LIP_BOTTOM = [(178, 139), (203, 142), (206, 146.4), (210, 150.6), (215, 153.6), (220, 155),
              (226, 155), (232, 153.2), (238, 149), (243, 144.5), (246, 142), (274, 140)]  # fmt: skip
CHIN = [(178, 146), (187, 155), (195, 166), (203, 172), (212, 176.5), (225, 179), (238, 175.5),
        (248, 169), (256, 160), (264, 148), (274, 146)]  # fmt: skip


# The outline of the face, ears and neck against the hair, and from there around the bottom of the picture.
FACE = [(166, 119), (172, 118), (177, 121), (180, 122), (180, 110), (182, 100), (184, 90), (186, 80),
        (188, 75), (193, 77), (200, 80.5), (210, 81.5), (220, 81.5), (230, 82.5), (240, 85),
        (250, 87), (258, 90), (266, 90.5), (269, 96), (270, 105), (271, 115), (270, 126), (270, 131),
        (275, 130.5), (281, 127.5), (290, 124), (310, 200), (150, 200)]  # fmt: skip


@dataclass(frozen=True)
class Pose:
    """Where the movable parts of the face are, in pixels of the portrait."""

    gap: float = PORTRAIT_GAP  # between the lips
    corners: float = 0.0  # mouth corners: positive is down
    narrow: float = 0.0  # how much narrower the mouth is, as a share of its width
    lip: float = 0.0  # middle of the upper lip: positive is down
    teeth: float = 0.0  # how far the teeth have gone up behind the upper lip
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
        scale = camera.span / camera.height
        x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        x = x[:, ::-1] if look.mirror else x
        self._x = np.ascontiguousarray((x + 0.5) * scale + camera.left, np.float32)
        self._y = np.ascontiguousarray((y + 0.5) * scale + camera.top, np.float32)
        self._head = _head_weight(self._x, self._y)

    def draw(self, pose: Pose) -> Image:
        """One frame, RGB."""
        x, y = self._reshaped(*self._turned_back(pose))
        x = x + _sideways(x, y, pose)
        x, y = (cv2.resize(field, None, fx=self.OVERSAMPLING, fy=self.OVERSAMPLING) for field in (x, y))
        lift, dark = _columns(pose)
        u, v = (x - np.float32(LEFT)) / np.float32(STEP), (y - np.float32(TOP)) / np.float32(FINE)
        y = y + cv2.remap(lift, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        shade = cv2.remap(dark, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[..., None]
        zoom, half = np.float32(self.ZOOM), np.float32(0.5)
        x, y = (x + half) * zoom - half, (y + half) * zoom - half
        picture = cv2.remap(self._portrait, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        inside = np.array([52, 20, 20], np.float32)
        picture = picture * (1 - shade) + inside * shade
        size = (self._camera.width, self._camera.height)
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        return np.clip(np.rint(small), 0, 255).astype(np.uint8)

    def _turned_back(self, pose: Pose) -> tuple[Field, Field]:
        """For each pixel, the point of the unturned head. The background and the shoulders stay put."""
        angle = math.radians(pose.turn)
        dx, dy = self._x - NECK[0] - pose.shift[0], self._y - NECK[1] - pose.shift[1]
        x = NECK[0] + math.cos(angle) * dx + math.sin(angle) * dy
        y = NECK[1] - math.sin(angle) * dx + math.cos(angle) * dy
        return self._x + self._head * (x - self._x), self._y + self._head * (y - self._y)

    def _reshaped(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Undo the look's proportions."""
        look, weight = self._look, self._head
        lower = np.clip((y - 90) / 80, -0.6, 1)
        x = x - weight * look.jaw * lower * (x - MIDDLE)
        y = y - weight * look.length * (y - NECK[1])
        return x, y


def _smooth(value: npt.ArrayLike, low: float, high: float) -> npt.NDArray[np.floating]:
    """0 below `low`, 1 above `high`, an S between."""
    t = np.clip((np.asarray(value) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _head_weight(x: Field, y: Field) -> Field:
    """1 on the head, 0 on the shoulders and in the background."""
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
V = np.arange(TOP, BOTTOM, FINE)
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
    here, there, edges = _knots(pose)
    lift = np.empty((V.size, U.size), np.float32)
    for column in range(U.size):
        lift[:, column] = np.interp(V, there[:, column], here[:, column]) - V
    dark = _mouth_shade(*edges[:3])
    return lift, np.maximum(dark, _lash_shade(edges[3], pose.lids)) if pose.lids > 0.6 else dark


def _knots(pose: Pose) -> tuple[Row, Row, tuple[Row, Row, Row, Row]]:
    """Heights in the portrait and in the pose, top to bottom.

    The third value is what the shading needs of the pose: upper lip, lower lip, edge of the teeth, lower lid.
    """
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
    sullen = float(np.clip(pose.corners / 8, 0, 1))  # a smile opens downwards, a frown upwards as well
    round_mouth = 1 - np.clip(side / MOUTH_HALF, 0, 1) ** 2.5
    shape = (1 - sullen) * (m["seam_lower"] - m["seam_upper"]) / PORTRAIT_GAP + sullen * round_mouth
    rise = -(0.08 * max(0.0, open_by) + 0.3 * sullen * pose.gap) * shape
    seam_upper = m["seam_upper"] + bend + rise
    seam_lower = seam_upper + np.maximum(pose.gap * shape, 0.02)
    lip_bottom = seam_lower + (m["lip_bottom"] - m["seam_lower"])
    jaw = np.exp(-((side / 30) ** 4))
    chin = m["chin"] + 0.5 * open_by * jaw * _EDGE

    behind = pose.teeth - 0.6 * bend
    teeth_end = np.maximum(m["seam_lower"] - 0.8, m["seam_upper"])
    teeth_from = np.clip(seam_upper + behind, m["seam_upper"], teeth_end)
    teeth_to = np.clip(seam_lower + behind, teeth_from, teeth_end)
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
        (teeth_to, np.minimum(teeth_to - behind, seam_lower - 0.1)),
        (m["seam_lower"], seam_lower),
        (m["lip_bottom"], lip_bottom),
        (m["chin"], chin),
        (BOTTOM * still, BOTTOM * still),
    ]
    here, there = (np.stack(rows) for rows in zip(*pairs, strict=True))
    there = here + (there - here) * _EDGE
    there = np.maximum.accumulate(there + 1e-3 * np.arange(len(pairs))[:, None], axis=0)
    return here, there, (seam_upper, seam_lower, np.minimum(teeth_end - behind, seam_lower), lower_lid)


def _mouth_shade(upper: Row, lower: Row, teeth: Row) -> Field:
    """How dark the inside of the mouth is: under the teeth, softly under the lip, and along closed lips."""
    y = V[:, None].astype(np.float32)
    upper, lower, teeth = (row.astype(np.float32) for row in (upper, lower, teeth))
    gap = lower - upper
    inside = _smooth(y - upper, -0.2, 0.5) * _smooth(lower - y, -0.2, 0.5)
    below_teeth = _smooth(y - teeth, -0.3, 1.2)
    under_lip = 0.35 * (1 - _smooth(y - upper, 0, 3.0))
    wide = _smooth(gap, 0.2, 1.2)
    opened = inside * np.maximum(below_teeth, under_lip) * wide
    closed = (1 - _smooth(gap, 0.4, 2.5)) * (1 - _smooth(np.abs(U - MIDDLE), MOUTH_HALF - 4, MOUTH_HALF))
    seam = np.exp(-(((y - (upper + lower) / 2) / 0.7) ** 2)) * (0.6 * closed).astype(np.float32)
    return np.asarray(np.maximum(opened, seam), np.float32)


def _lash_shade(lower_lid: Row, lids: float) -> Field:
    """A closed eye is a soft dark line."""
    eye = _smooth(_MEASURED["lower_lid"] - _MEASURED["upper_lid"], 1, 4)
    line = np.exp(-(((V[:, None] - lower_lid) / 0.8) ** 2))
    return np.asarray(0.7 * line * eye * _smooth(lids, 0.6, 1), np.float32)


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
    """Where the hair is, 0 to 1: brown or dark, inside the head's outline, outside the face."""
    lab = cv2.cvtColor(portrait, cv2.COLOR_RGB2LAB).astype(np.float32)
    head = 1 - _smooth(np.hypot((x - 227) / 77, (y - 78) / 68), 0.97, 1.06)
    face = np.zeros(portrait.shape[:2], np.uint8)
    cv2.fillPoly(face, [np.rint(np.array(FACE) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    edge = cv2.GaussianBlur(face.astype(np.float32), (0, 0), 1.2)
    brown = _smooth(lab[..., 2], 134, 142) + _smooth(110 - lab[..., 0], 0, 20)
    return np.asarray(cv2.GaussianBlur(np.clip(brown, 0, 1) * head, (0, 0), 0.8) * (1 - edge), np.float32)
