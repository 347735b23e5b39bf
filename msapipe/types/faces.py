"""Faces: all detections, the active speaker, and the speaker's face as a clip of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from msapipe.types._check import array, intervals

# Positions of the five landmarks (eyes, nose, mouth corners; the viewer's left first) in a 112x112 aligned face: the
# ArcFace template (Deng et al., 2019), which insightface and most face models use.
ALIGNED_112 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Concatenated JPEG images: image i is ``data[offsets[i]:offsets[i + 1]]``."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        array("data", self.data, "uint8", (None,))
        array("offsets", self.offsets, "int64", (None,))
        if not len(self.offsets) or self.offsets[0] != 0 or self.offsets[-1] != len(self.data):
            raise ValueError("offsets must begin with 0 and end with the length of data")

    @classmethod
    def join(cls, pictures: list[bytes]) -> EncodedImages:
        """Concatenate encoded images."""
        offsets = np.cumsum([0, *(len(picture) for picture in pictures)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(pictures), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def decode(self, index: int) -> NDArray[np.uint8]:
        """Image ``index`` as uint8 (H, W, 3) RGB."""
        import cv2  # needs shared libraries that a bare machine may lack

        picture = cv2.imdecode(self.data[self.offsets[index] : self.offsets[index + 1]], cv2.IMREAD_COLOR_RGB)
        if picture is None:
            raise ValueError(f"picture {index} is not a JPEG")
        return np.asarray(picture, np.uint8)


@dataclass(frozen=True, eq=False)
class FaceTracks:
    """Every face in every sampled frame of a clip, one row per detection, ordered by row of ``times``.

    times: float64 (T, 2) of all sampled frames, with or without a face.   frame_size: (H, W) pixels, after rotation if
    the video was recorded sideways.
    track: int64 (M,), the person; numbered from 0 in order of first appearance.   row: int64 (M,), index into times.
    boxes: float32 (M, 4) x1, y1, x2, y2 in frame pixels.   score: float32 (M,) in [0, 1].
    landmarks: float32 (M, 5, 2) eyes, nose, mouth corners in frame pixels, the viewer's left first.
    squares: float32 (M, 3) x, y, side in frame pixels of the crop, a loose square (box side x 1.4).
    crops: the M squares, JPEG, at most 192 pixels wide; parts outside the frame are black.
    """

    times: NDArray[np.float64]
    frame_size: tuple[int, int]
    track: NDArray[np.int64]
    row: NDArray[np.int64]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: NDArray[np.float32]
    squares: NDArray[np.float32]
    crops: EncodedImages

    def __post_init__(self) -> None:
        found = len(self.track)
        intervals("times", self.times, len(self.times))
        array("track", self.track, "int64", (found,))
        array("row", self.row, "int64", (found,))
        array("boxes", self.boxes, "float32", (found, 4))
        array("landmarks", self.landmarks, "float32", (found, 5, 2))
        array("score", self.score, "float32", (found,))
        array("squares", self.squares, "float32", (found, 3))
        if len(self.crops) != found:
            raise ValueError(f"{len(self.crops)} crops for {found} faces")
        if found and (self.row.min() < 0 or self.row.max() >= len(self.times) or np.any(np.diff(self.row) < 0)):
            raise ValueError("row must be ordered and lie within times")

    @property
    def faces_per_frame(self) -> NDArray[np.int64]:
        """How many faces each sampled frame holds: int64 (T,)."""
        return np.bincount(self.row, minlength=len(self.times)).astype(np.int64)

    def __repr__(self) -> str:
        people = len(np.unique(self.track))
        return f"FaceTracks({people} tracks, {len(self.track)} faces in {len(self.times)} frames)"


@dataclass(frozen=True, eq=False)
class Speaker:
    """The active speaker in each sampled frame.

    track: int64 (T,), -1 if nobody speaks or the speaker is uncertain.
    score: float32 (T,), higher is more certain; the unit depends on the stage.
    face_score: float32 (M,), one score per detection in FaceTracks; (0,) if the stage gives none.
    uncertain: bool (T,), two faces seem to speak at once; (0,) if the stage does not tell.
    notes: remarks for the user on how the speaker was chosen.
    """

    track: NDArray[np.int64]
    score: NDArray[np.float32]
    face_score: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    uncertain: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        array("track", self.track, "int64", (None,))
        array("score", self.score, "float32", (len(self.track),))
        array("face_score", self.face_score, "float32", (None,))
        array("uncertain", self.uncertain, "bool", (None,))
        if len(self.uncertain) not in (0, len(self.track)):
            raise ValueError(f"uncertain has {len(self.uncertain)} rows for {len(self.track)} frames")


class FaceClip:
    """The speaker's face as one loose square crop per sampled frame; other crops are warped from it.

    times: float64 (T, 2).   valid: bool (T,), False where the speaker's face was not found; these rows are zero.
    boxes (T, 4), landmarks (T, 5, 2), squares (T, 3), score (T,): float32, frame pixels, as in FaceTracks.
    """

    def __init__(self, faces: FaceTracks, speaker: Speaker) -> None:
        rows = len(faces.times)
        array("speaker.track", speaker.track, "int64", (rows,))
        chosen = np.flatnonzero(speaker.track[faces.row] == faces.track)
        self.times = faces.times
        self.frame_size = faces.frame_size
        self._crops = faces.crops
        self._picture = np.full(rows, -1, np.int64)
        self._picture[faces.row[chosen]] = chosen
        self.valid: NDArray[np.bool_] = self._picture >= 0
        self.boxes = self._spread(faces.boxes)
        self.landmarks = self._spread(faces.landmarks)
        self.squares = self._spread(faces.squares)
        self.score = self._spread(faces.score)

    def _spread(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scatter detections (M, ...) to sampled frames (T, ...), zero where the speaker was not found."""
        out = np.zeros((len(self.times), *found.shape[1:]), np.float32)
        out[self.valid] = found[self._picture[self.valid]]
        return out

    def __len__(self) -> int:
        return len(self.times)

    def square(self, row: int) -> NDArray[np.uint8]:
        """The stored crop of a valid row, uint8 (S, S, 3) RGB, S as stored."""
        return self._crops.decode(int(self._picture[row]))

    def loose(self, row: int, size: int = 128) -> NDArray[np.uint8]:
        """The loose crop of BoostingMSA (Hai et al., 2023): uint8 (size, size, 3) RGB; black if invalid."""
        import cv2

        if not self.valid[row]:
            return np.zeros((size, size, 3), np.uint8)
        picture = self.square(row)
        shrink = picture.shape[0] >= size
        resized = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
        return np.asarray(resized, np.uint8)

    def landmarks_in_square(self, row: int, size: int) -> NDArray[np.float32]:
        """The five landmarks of a row in pixels of its square, scaled to ``size``: float32 (5, 2)."""
        x, y, side = self.squares[row]
        if side <= 0:
            return np.zeros((5, 2), np.float32)
        return np.asarray((self.landmarks[row] - (x, y)) * (size / side), np.float32)

    def aligned(self, row: int, size: int = 112) -> NDArray[np.uint8]:
        """The crop of SMP (Zhu and Yu): least-squares similarity of the landmarks to the ArcFace template.

        Returns uint8 (size, size, 3) RGB; black if invalid.
        """
        import cv2

        if not self.valid[row]:
            return np.zeros((size, size, 3), np.uint8)
        picture = self.square(row)
        points = self.landmarks_in_square(row, picture.shape[0])
        matrix = similarity(points, ALIGNED_112 * np.float32(size / 112))
        return np.asarray(cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)

    def __repr__(self) -> str:
        share = float(self.valid.mean()) if len(self.valid) else 0.0
        return f"FaceClip({len(self)} frames, {share:.0%} valid)"


def similarity(source: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """Least-squares rotation, scale and shift from ``source`` (N, 2) to ``target`` (N, 2): float64 (2, 3).

    Umeyama (1991), without reflection.
    """
    from_mean, to_mean = source.mean(0, dtype=np.float64), target.mean(0, dtype=np.float64)
    a, b = source - from_mean, target - to_mean
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation = (u * flip) @ vt
    scale = float((s * flip).sum() / max(float((a**2).sum()), 1e-12))
    return np.hstack([scale * rotation, (to_mean - scale * rotation @ from_mean)[:, None]])
