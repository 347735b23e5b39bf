"""Tracks faces: match the faces of a frame to those of earlier frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Two frames whose 16 x 9 grey thumbnails correlate less than this have a cut between them. Measured: cuts -0.02 to
# 0.57, the same shot at ten frames per second at least 0.9, at two per second 0.75 (a crowd walking by).
SAME_SHOT = 0.5

# Landmarks of one face move at most this share of its side between sampled frames if its boxes overlap.
REACH = 0.6

# People who walk past close by leave their box within a tenth of a second. A new face continues a track missed since
# the previous frame if it is within this many sides, and sizes differ by at most this factor.
LEAP, ALIKE = 1.25, 1.3


@dataclass
class _Track:
    """A person who may reappear, as last seen."""

    person: int
    box: Floats
    landmarks: Floats
    seen: float


class Tracker:
    """Assigns person numbers to faces, frame by frame, in order of time.

    overlap: least intersection over union of a person's boxes in two frames.   bridge: seconds out of sight after which
    a face is a new person.
    """

    def __init__(self, overlap: float, bridge: float) -> None:
        self._overlap, self._bridge = overlap, bridge
        self._open: list[_Track] = []
        self._people = 0
        self._now = -np.inf

    def begin(self, time: float, cut: bool) -> None:
        """Start a new frame; after a cut, no person is expected to be in the same place."""
        self._before, self._now = self._now, time
        last, bridge = self._before, self._bridge + 1e-6  # at one frame per second, the previous frame is never too old
        self._open = [t for t in self._open if not cut and (t.seen == last or time - t.seen <= bridge)]

    @property
    def expected(self) -> Floats:
        """Boxes of the persons of the previous frame: float32 (n, 4)."""
        boxes = [track.box for track in self._open if track.seen == self._before]
        return np.array(boxes, np.float32).reshape(-1, 4)

    def moved(self, boxes: Floats, landmarks: Floats, found: NDArray[np.bool_]) -> None:
        """Update the persons of ``expected`` that were found."""
        tracks = [track for track in self._open if track.seen == self._before]
        for index in np.flatnonzero(found):
            tracks[index].box, tracks[index].landmarks = boxes[index], landmarks[index]

    def name(self, boxes: Floats, landmarks: Floats) -> NDArray[np.int64]:
        """The person of each face of this frame: int64 (n,)."""
        people = np.full(len(boxes), -1, np.int64)
        way = self._ways(boxes, landmarks)
        free = set(range(len(self._open)))
        for pair in np.argsort(way, axis=None, kind="stable"):
            face, index = divmod(int(pair), len(self._open))
            if not np.isfinite(way[face, index]):
                break
            if people[face] < 0 and index in free:
                free.remove(index)
                people[face] = self._see(self._open[index], boxes[face], landmarks[face])
        for face in np.flatnonzero(people < 0).tolist():
            track = _Track(self._people, boxes[face], landmarks[face], self._now)
            self._open.append(track)
            people[face] = track.person
            self._people += 1
        return people

    def _ways(self, boxes: Floats, landmarks: Floats) -> Floats:
        """Distance of each face (n) from each open track (m), in sides of the face; infinity if they cannot match."""
        before = np.array([track.box for track in self._open], np.float32).reshape(-1, 4)
        points = np.array([track.landmarks for track in self._open], np.float32).reshape(-1, 5, 2)
        side = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(1, initial=0), 1)[:, None]
        old = np.maximum((before[:, 2:] - before[:, :2]).max(1, initial=0), 1)[None]
        way = np.linalg.norm(landmarks[:, None] - points[None], axis=-1).mean(-1) / side
        overlap = overlaps(boxes, before) >= self._overlap
        recent = np.array([track.seen >= self._before for track in self._open], bool)
        leapt = (way <= LEAP) & (np.maximum(side / old, old / side) <= ALIKE) & recent
        return np.asarray(np.where((overlap & (way <= REACH)) | leapt, way, np.inf), np.float32)

    def _see(self, track: _Track, box: Floats, landmarks: Floats) -> int:
        track.box, track.landmarks, track.seen = box, landmarks, self._now
        return track.person


class CutFinder:
    """Finds cuts by comparing each frame's thumbnail with the previous one."""

    def __init__(self, cv2: Any) -> None:
        self._cv2 = cv2
        self._before: Floats | None = None

    def cut(self, picture: NDArray[np.uint8]) -> bool:
        """Whether a new shot begins with this frame; False for the first one."""
        step = max(1, min(picture.shape[:2]) // 72)  # using every pixel of a large frame would take milliseconds
        green = np.ascontiguousarray(picture[::step, ::step, 1])
        small = self._cv2.resize(green, (16, 9), interpolation=self._cv2.INTER_AREA).astype(np.float32)
        now, before = small - small.mean(), self._before
        self._before = now
        if before is None:
            return False
        noise = 4.0 * now.size  # so that two uniform frames are alike
        alike = ((now * before).sum() + noise) / np.sqrt(((now**2).sum() + noise) * ((before**2).sum() + noise))
        return bool(alike < SAME_SHOT)


def overlaps(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every box of (n, 4) with every box of (m, 4): float32 (n, m)."""
    common = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = common.clip(0).prod(-1)
    areas = [(x[:, 2:] - x[:, :2]).clip(0).prod(-1) for x in (a, b)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-6), np.float32)
