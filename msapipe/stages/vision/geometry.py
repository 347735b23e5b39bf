"""Measures the speaker's face: head pose, mouth width and corners, mouth opening, motion; no network, no weights."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from msapipe.stages._base import Stage
from msapipe.stages.vision._crops import check_opencv
from msapipe.types import FaceClip, FeatureSequence

Floats = NDArray[np.float32]

SHAPE = ("roll", "yaw", "pitch", "mouth_width", "corner_lift", "smile", "mouth_slant")
LOOK = ("mouth_opening", "mouth_shade", "mouth_contrast", "frown_lines", "eye_contrast", "brightness")
MOTION = ("mouth_motion", "face_motion")
PLACE = ("size", "x", "y")

# Regions of the aligned 112 x 112 crop, as rows and columns.
MOUTH = np.s_[84:108, 40:72]
SKIN = np.s_[60:82, 38:74]  # nose and cheeks: the reference for brightness
BETWEEN_BROWS = np.s_[38:52, 49:63]
EYES = (np.s_[46:58, 30:46], np.s_[46:58, 66:82])

# Nose and mouth of the ArcFace template, below the eyes, in eye distances.
NOSE_DOWN, MOUTH_DOWN = 0.571, 1.155

# Lower bound, since geometry diverges for a face in profile, whose eyes are close together.
LEAST_EYES = 0.15  # eye distance in sides of the box
BOUND = 3.0


@dataclass
class Geometry(Stage):
    """Measures of landmarks and pixels per sampled frame, as FeatureSequence (T, 18).

    From the five landmarks, after removing the head's roll; lengths are in eye distances, within [-3, 3]:
    roll: degrees by which the eye line falls to the right.
    yaw: nose right of the line from between the eyes to the middle of the mouth; positive if the face looks right.
    pitch: nose below its place in a level face, as a fraction of the eye-mouth distance; positive if looking down.
    mouth_width: from corner to corner, 0.6 to 1.1.
    corner_lift: how much closer the mouth corners are to the nose's height than in the mean face, -0.2 to 0.2.
    smile: mouth_width over the distance from eye line to mouth line, 0.5 to 1.1.
    mouth_slant: right corner higher than left one.

    From the aligned crop; brightness is relative to nose and cheeks, so most lighting cancels; colour is not used,
    since it tells cameras apart rather than moods:
    mouth_opening: share of the mouth region that is darker than half the skin, in [0, 1].
    mouth_shade: 1 - mean brightness of that region; follows speech like mouth_opening, and better in bearded faces.
    mouth_contrast: standard deviation of that region; teeth and dark areas.
    frown_lines: mean horizontal brightness step between the brows.
    eye_contrast: standard deviation around the eyes.
    brightness: of the skin, in [0, 1].

    From one frame to the next, 0 if the previous one is more than ``longest_step`` seconds ago or another place:
    mouth_motion: mean change of brightness in the mouth region, per second.
    face_motion: mean speed of the landmarks, eye distances per second.

    size: square root of the box's area over the frame's shorter side.   x, y: centre of the box, in fractions of the
    frame's width and height. Rows without a face are invalid.

    Mouth width relative to eye distance and lifted corners are the smile of Ekman and Friesen, "Facial Action Coding
    System" (1978), AU 12. Measured on 1027 photographs, most of them grey: AUC of happy against neutral, angry, sad
    faces 0.90, 0.86, 0.79 for smile and 0.80, 0.80, 0.78 for corner_lift; on the few in colour 0.58 to 0.69.
    """

    longest_step: float = 0.5

    def __post_init__(self) -> None:
        self.require(
            isfinite(self.longest_step) and self.longest_step > 0,
            f"longest_step must be seconds, more than 0, got {self.longest_step}",
        )

    def load(self, device: str) -> None:
        """Check that crops can be decoded."""
        check_opencv("geometry needs")

    def run(self, face_clip: FaceClip) -> FeatureSequence:
        """Measure every row with a face."""
        rows = len(face_clip)
        side = (face_clip.boxes[:, 2:] - face_clip.boxes[:, :2]).max(1, initial=0)
        valid = face_clip.valid & (side > 0)
        looks, mouths = np.zeros((rows, len(LOOK)), np.float32), np.zeros(rows, np.float32)
        before: Floats | None = None
        steps = self._steps(face_clip, valid)
        for row in np.flatnonzero(valid).tolist():
            looks[row], mouth = look(face_clip.aligned(row))
            if before is not None and steps[row] > 0:
                mouths[row] = np.abs(mouth - before).mean() / steps[row]
            before = mouth
        eyes = _eye_distance(face_clip.landmarks, side)
        moved = np.zeros((rows, 5), np.float32)
        moved[1:] = np.linalg.norm(np.diff(face_clip.landmarks, axis=0), axis=-1) / eyes[1:, None]
        speed = np.where(steps > 0, moved.mean(1) / np.maximum(steps, 1e-6), 0)
        values = np.column_stack([shape(face_clip.landmarks, eyes), looks, mouths, speed, _place(face_clip)])
        names = (*SHAPE, *LOOK, *MOTION, *PLACE)
        return FeatureSequence.masked(values.astype(np.float32), face_clip.times, valid, names)

    def _steps(self, clip: FaceClip, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Seconds since the previous frame, 0 if it is not comparable: (T,)."""
        steps = np.zeros(len(clip))
        seconds = np.diff(clip.times[:, 0])
        middle = (clip.boxes[:, :2] + clip.boxes[:, 2:]) / 2
        side = (clip.boxes[:, 2:] - clip.boxes[:, :2]).max(1, initial=0)
        # Another speaker, or a cut: the face is elsewhere, or of another size.
        same = np.linalg.norm(np.diff(middle, axis=0), axis=1) < np.maximum(side[1:], side[:-1])
        same &= np.minimum(side[1:], side[:-1]) > 0.6 * np.maximum(side[1:], side[:-1])
        usable = same & valid[1:] & valid[:-1] & (seconds > 0) & (seconds <= self.longest_step + 1e-6)
        steps[1:][usable] = seconds[usable]
        return steps


def shape(landmarks: Floats, eyes: Floats) -> Floats:
    """The columns ``SHAPE`` of landmarks (T, 5, 2) and eye distances (T,): float32 (T, 7)."""
    line = landmarks[:, 1] - landmarks[:, 0]
    angle = np.arctan2(line[:, 1], line[:, 0])
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    points = (landmarks - landmarks[:, :2].mean(1, keepdims=True)) / eyes[:, None, None]
    x, y = points[..., 0] * cos + points[..., 1] * sin, points[..., 1] * cos - points[..., 0] * sin
    nose_x, nose_y = x[:, 2], y[:, 2]
    mouth_x, mouth_y = x[:, 3:].mean(1), y[:, 3:].mean(1)
    down = np.maximum(mouth_y, 0.3)  # a mouth at eye height is a detection error
    width = np.hypot(x[:, 4] - x[:, 3], y[:, 4] - y[:, 3])
    lengths = [
        nose_x - mouth_x * nose_y / down,
        nose_y / down - NOSE_DOWN / MOUTH_DOWN,
        width,
        (MOUTH_DOWN - NOSE_DOWN) - (mouth_y - nose_y),
        width / down,
        y[:, 3] - y[:, 4],
    ]
    columns = np.column_stack([np.degrees(angle), np.clip(np.column_stack(lengths), -BOUND, BOUND)])
    return np.asarray(columns, np.float32)


def look(picture: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """The columns ``LOOK`` (6,) of an aligned face, uint8 (112, 112, 3) RGB, and its mouth, relative to the skin."""
    rgb = picture.astype(np.float32)
    grey = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    skin = max(float(np.median(grey[SKIN])), 8.0)  # a nearly black face would amplify noise
    light = np.minimum(grey / skin, np.float32(4))
    mouth = light[MOUTH]
    between = light[BETWEEN_BROWS]
    columns = [
        (mouth < 0.5).mean(),
        1 - mouth.mean(),
        mouth.std(),
        np.abs(between[:, 2:] - between[:, :-2]).mean(),
        np.mean([light[eye].std() for eye in EYES]),
        skin / 255,
    ]
    return np.array(columns, np.float32), mouth


def _eye_distance(landmarks: Floats, side: Floats) -> Floats:
    """Eye distance in pixels, (T,), with a lower bound for faces in profile."""
    distance = np.linalg.norm(landmarks[:, 1] - landmarks[:, 0], axis=1)
    return np.asarray(np.maximum(distance, np.maximum(LEAST_EYES * side, 1e-3)), np.float32)


def _place(clip: FaceClip) -> Floats:
    """The columns ``PLACE``: float32 (T, 3)."""
    height, width = (max(1, pixels) for pixels in clip.frame_size)
    area = (clip.boxes[:, 2:] - clip.boxes[:, :2]).clip(0).prod(1)
    middle = (clip.boxes[:, :2] + clip.boxes[:, 2:]) / 2
    return np.column_stack([np.sqrt(area) / min(height, width), middle[:, 0] / width, middle[:, 1] / height])
