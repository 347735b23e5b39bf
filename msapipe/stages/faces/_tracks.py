"""Which face in this picture is which face of the pictures before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Two pictures whose 16 x 9 grey thumbnails correlate less than this have a cut between them. Measured: cuts -0.02 to
# 0.57, the same shot at ten pictures a second at least 0.9, at two a second 0.75 (a crowd that walks by).
SAME_SHOT = 0.5

# Landmarks of one face lie within this share of its side from one sampled picture to the next, when its boxes overlap.
REACH = 0.6

# Who walks past close by leaves his box within a tenth of a second. A face without a past is still the face that is
# missed since the picture before, when it lies within so many sides and its size differs by no more than this factor.
LEAP, ALIKE = 1.25, 1.3


@dataclass
class _Track:
    """A person whom we hope to see again, as last seen."""

    person: int
    box: Floats
    landmarks: Floats
    seen: float


class Tracker:
    """Gives faces the number of a person, picture by picture, in order of time.

    overlap: least intersection over union of a person's boxes in two pictures.   bridge: seconds out of sight after
    which a face is a new person.
    """

    def __init__(self, overlap: float, bridge: float) -> None:
        self._overlap, self._bridge = overlap, bridge
        self._open: list[_Track] = []
        self._people = 0
        self._now = -np.inf

    def begin(self, time: float, cut: bool) -> None:
        """A new picture; after a cut nobody is expected to be where he was."""
        self._before, self._now = self._now, time
        last, bridge = self._before, self._bridge + 1e-6  # at one picture a second the one before is never too old
        self._open = [t for t in self._open if not cut and (t.seen == last or time - t.seen <= bridge)]

    @property
    def expected(self) -> Floats:
        """Where the persons of the picture before last were: float32 (n, 4)."""
        boxes = [track.box for track in self._open if track.seen == self._before]
        return np.array(boxes, np.float32).reshape(-1, 4)

    def moved(self, boxes: Floats, landmarks: Floats, found: NDArray[np.bool_]) -> None:
        """The persons of ``expected`` who were found were found here."""
        tracks = [track for track in self._open if track.seen == self._before]
        for index in np.flatnonzero(found):
            tracks[index].box, tracks[index].landmarks = boxes[index], landmarks[index]

    def name(self, boxes: Floats, landmarks: Floats) -> NDArray[np.int64]:
        """The person of each face of this picture: int64 (n,)."""
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
        """How far each face (n) is from each open track (m), in sides of the face; infinity where it cannot be it."""
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
    """Finds cuts by comparing a thumbnail of each picture with that of the one before."""

    def __init__(self, cv2: Any) -> None:
        self._cv2 = cv2
        self._before: Floats | None = None

    def cut(self, picture: NDArray[np.uint8]) -> bool:
        """Whether a new shot begins with this picture; False for the first one."""
        step = max(1, min(picture.shape[:2]) // 72)  # every pixel of a large picture would take milliseconds
        green = np.ascontiguousarray(picture[::step, ::step, 1])
        small = self._cv2.resize(green, (16, 9), interpolation=self._cv2.INTER_AREA).astype(np.float32)
        now, before = small - small.mean(), self._before
        self._before = now
        if before is None:
            return False
        noise = 4.0 * now.size  # so that two flat pictures are alike
        alike = ((now * before).sum() + noise) / np.sqrt(((now**2).sum() + noise) * ((before**2).sum() + noise))
        return bool(alike < SAME_SHOT)


def overlaps(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every box of (n, 4) with every box of (m, 4): float32 (n, m)."""
    common = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = common.clip(0).prod(-1)
    areas = [(x[:, 2:] - x[:, :2]).clip(0).prod(-1) for x in (a, b)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-6), np.float32)
