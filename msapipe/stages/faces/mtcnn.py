"""Finds faces and five landmarks with MTCNN, and follows each person from frame to frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from msapipe.stages._base import Stage
from msapipe.stages.faces._crops import cut_out, loose_square
from msapipe.stages.faces._detector import LEAST, Detector, Found, distinct, opencv, sides
from msapipe.stages.faces._tracks import CutFinder, Tracker, overlaps
from msapipe.stages.faces._upright import DOUBTFUL, Spread, quarter_turns
from msapipe.types import EncodedImages, FaceTracks, Frames
from msapipe.weights import InPackage, Weights

# A person seen in fewer frames, and never with this score, is a false detection.
RARE, SURE = 5, 0.99

# With more faces than this, new ones are likely: searches then come at this fraction of the usual interval.
CROWD, SOONER = 2, 0.6

# Faces smaller than this share of the smallest followed face are searched only every ``DEEP`` seconds.
MINOR, DEEP = 0.33, 2.0


def _net(letter: str, size: int, sha256: str) -> InPackage:
    return InPackage(
        name=f"MTCNN {letter}-Net",
        package="facenet_pytorch",
        file=f"data/{letter.lower()}net.pt",
        sha256=sha256,
        bytes=size,
        licence="MIT",
        source="https://github.com/timesler/facenet-pytorch, converted from https://github.com/davidsandberg/facenet",
    )


@dataclass
class _Row:
    """One face of one sampled frame."""

    row: int
    person: int
    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: float
    square: tuple[int, int, int]
    crop: bytes


class _Clock:
    """Schedules full searches.   every: seconds between searches."""

    def __init__(self, every: float) -> None:
        self._every, self._crowd = every, False
        self._searched = self._searched_deep = -np.inf

    def due(self, time: float) -> bool:
        """Whether a search is due."""
        return bool(time - self._searched >= self._every * (SOONER if self._crowd else 1) - 1e-6)

    def deep(self, time: float) -> bool:
        """Whether a search should include small faces beside large ones."""
        return bool(time - self._searched_deep >= DEEP - 1e-6)

    def looked(self, time: float, full: bool, faces: int) -> None:
        """Record that a frame was processed; full: all of it was searched."""
        self._crowd = faces > CROWD
        if full:
            self._searched_deep = time if self.deep(time) else self._searched_deep
            self._searched = time


@dataclass
class MTCNN(Stage):
    """Every face of every sampled frame, as FaceTracks: M boxes (M, 4), landmarks (M, 5, 2), score (M,), crops.

    Boxes and landmarks are in pixels of the frame; score is the face probability of O-Net in [0, 1].

    The three networks search key frames: the first, one every ``key_every`` seconds, after a cut, and for ``bridge``
    seconds after the last face was lost. Between them, O-Net runs on five slightly shifted crops at each face's last
    position, and the outputs are averaged: faster than the full search, and the landmarks jitter less. A face lost
    while others remain is searched nearby. With more than two faces, ``key_every`` is multiplied by 0.6; a face a third
    as large as the smallest followed face is found within two seconds. Persons are matched by position, not by
    appearance.

    If faces are few or uncertain, some frames are searched at all four rotations; if another rotation is clearly better
    (the video is sideways but does not declare it), all frames are rotated, and boxes are pixels of the rotated frames.

    min_score: a person is kept who reaches this score at least once, with all weaker detections.
        A person seen in fewer than 5 frames must reach 0.99.
    min_face: smallest face, as a share of the frame's shorter side; never below 20 pixels.
    thresholds: least face probability in P-Net, R-Net and O-Net.
    scale_factor: ratio between levels of the image pyramid.
    min_overlap: least intersection over union of a person's boxes in two successive frames.
    bridge: seconds out of sight after which a face is a new person; a cut always makes new persons.
    key_every: seconds between full searches.
    exact: find in every frame exactly the boxes of ``facenet_pytorch.MTCNN(keep_all=True, min_face_size=20)``, about
        ten times slower; min_face, key_every and min_score are then unused, and no detection is discarded.

    Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks" (2016).
    """

    min_score: float = 0.9
    min_face: float = 0.06
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    scale_factor: float = 0.709
    min_overlap: float = 0.3
    bridge: float = 0.5
    key_every: float = 0.5
    exact: bool = False

    version: ClassVar[int] = 3
    on_device: ClassVar[bool] = True
    weights: ClassVar[tuple[Weights, ...]] = (
        _net("P", 28570, "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"),
        _net("R", 403147, "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"),
        _net("O", 1559269, "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"),
    )

    def __post_init__(self) -> None:
        self.require(len(self.thresholds) == 3, f"thresholds must be three numbers, got {self.thresholds}")
        self.thresholds = (self.thresholds[0], self.thresholds[1], self.thresholds[2])  # a pipeline gives a list
        shares = {"min_score": self.min_score, "min_face": self.min_face, "min_overlap": self.min_overlap}
        for name, value in {**shares, **{f"thresholds[{i}]": t for i, t in enumerate(self.thresholds)}}.items():
            self.require(0 <= value <= 1, f"{name} must lie in [0, 1], got {value}")
        self.require(0.1 <= self.scale_factor <= 0.95, f"scale_factor must lie in [0.1, 0.95], got {self.scale_factor}")
        for name, value in (("bridge", self.bridge), ("key_every", self.key_every)):
            self.require(isfinite(value) and value >= 0, f"{name} must be seconds, 0 or more, got {value}")

    def load(self, device: str) -> None:
        """Read the three networks: without torch for a CPU; with torch if ``exact`` or for a GPU."""
        self._cv2 = opencv()
        pnet, rnet, onet = (w.path() for w in self.weights)
        self._detector = Detector((pnet, rnet, onet), device, self.thresholds, self.scale_factor, self.exact)

    def run(self, frames: Frames) -> FaceTracks:
        """Find and follow all faces, one frame at a time; sideways videos are rotated, with a note in ``frames``."""
        spread = Spread()
        with self._detector.one_thread():
            tracks = self._run(frames, spread)
            if self.exact or _certainty(tracks) >= DOUBTFUL:
                return tracks
            quarters = quarter_turns(spread.pictures, self._surest)
            if not quarters:
                return tracks
            tracks = self._run(frames.turned(quarters), Spread())
        frames.notes.append(
            f"Faces lie on their side: the pictures are turned by {90 * quarters} degrees counterclockwise, "
            "which the file does not ask for."
        )
        return tracks

    def _surest(self, picture: NDArray[np.uint8]) -> float:
        smallest = max(LEAST, self.min_face * min(picture.shape[:2]))
        return float(self._detector.find(picture, smallest).score.max(initial=0))

    def _run(self, frames: Frames, spread: Spread) -> FaceTracks:
        tracker, cuts = Tracker(self.min_overlap, self.bridge), CutFinder(self._cv2)
        times: list[tuple[float, float]] = []
        rows: list[_Row] = []
        size, clock, seen = (0, 0), _Clock(self.key_every), -np.inf
        for picture, start, end in _pictures(frames):
            size = (picture.shape[0], picture.shape[1])
            spread.add(picture)
            cut = cuts.cut(picture)
            tracker.begin(start, cut)
            due = self.exact or cut or clock.due(start)
            if due or start - seen <= self.bridge:
                found, full = self._look(picture, tracker, due, deep=cut or clock.deep(start))
                clock.looked(start, full, len(found.boxes))
            else:
                found = Found.nothing()
            seen = start if len(found.boxes) else seen
            people = tracker.name(found.boxes, found.landmarks)
            for person, box, landmarks, score in zip(people, *found, strict=True):
                square = loose_square(box)
                crop = cut_out(self._cv2, picture, square)
                rows.append(_Row(len(times), int(person), box, landmarks, float(score), square, crop))
            times.append((start, end))
        return _tracks(self._believed(rows), times, size)

    def _look(self, picture: NDArray[np.uint8], tracker: Tracker, due: bool, deep: bool) -> tuple[Found, bool]:
        """The faces of a frame, and whether all of it was searched; deep: include small faces."""
        smallest = LEAST if self.exact else max(LEAST, self.min_face * min(picture.shape[:2]))
        if self.exact:
            return self._detector.find(picture, smallest), True
        expected = tracker.expected
        followed = self._detector.follow(picture, expected)
        there = followed.score > self.thresholds[2]
        tracker.moved(followed.boxes, followed.landmarks, there)
        followed = followed.take(there)
        if there.any() and there.all() and not due:
            return followed.take(distinct(followed.boxes, followed.score, 0.7)), False
        sure = followed.take(followed.score > self.min_score)
        due = due or not there.any()
        if due:
            if len(sure.boxes) and not deep:
                smallest = max(smallest, MINOR * float(sides(sure.boxes).min()))
            found = self._detector.find(picture, smallest, sure.boxes)
        else:
            found = self._detector.find_near(picture, expected[~there], sure.boxes)
        # Refined as between key frames: otherwise landmarks would jump at every key frame.
        closer = self._detector.follow(picture, found.boxes)
        better = closer.score > self.thresholds[2]
        found = Found(*(np.where(_like(better, a), a, b) for a, b in zip(closer, found, strict=True)))
        return _together(found, sure if due else followed), due

    def _believed(self, rows: list[_Row]) -> list[_Row]:
        """The rows of persons who are not false detections, see ``min_score``."""
        if self.exact:
            return rows
        best: dict[int, float] = {}
        seen: dict[int, int] = {}
        for row in rows:
            best[row.person] = max(best.get(row.person, 0.0), row.score)
            seen[row.person] = seen.get(row.person, 0) + 1
        return [
            row
            for row in rows
            if best[row.person] >= (self.min_score if seen[row.person] >= RARE else max(SURE, self.min_score))
        ]


def _certainty(tracks: FaceTracks) -> float:
    """Mean score of the most certain face of each frame; 0 for a frame without a face."""
    best = np.zeros(len(tracks.times))
    np.maximum.at(best, tracks.row, tracks.score)
    return float(best.mean()) if len(best) else 1.0


def _pictures(frames: Frames) -> Iterator[tuple[NDArray[np.uint8], float, float]]:
    """Frames with their times, one at a time; only one is held in memory."""
    for batch in frames.batches(1):
        yield batch.pixels[0], float(batch.times[0, 0]), float(batch.times[0, 1])


def _like(mask: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Reshape a mask (n,) to select rows of values (n, ...)."""
    return mask.reshape(-1, *[1] * (values.ndim - 1))


def _together(found: Found, followed: Found) -> Found:
    """Faces of a full search, plus the followed faces that it missed."""
    missed = overlaps(followed.boxes, found.boxes).max(1, initial=0) < 0.3
    rest = followed.take(missed)
    both = Found(*(np.concatenate(pair) for pair in zip(found, rest, strict=True)))
    return both.take(distinct(both.boxes, both.score, 0.7))


def _tracks(rows: list[_Row], times: list[tuple[float, float]], size: tuple[int, int]) -> FaceTracks:
    """Number persons by first appearance; order rows by frame, then person."""
    number = {person: index for index, person in enumerate(dict.fromkeys(row.person for row in rows))}
    rows = sorted(rows, key=lambda row: (row.row, number[row.person]))
    return FaceTracks(
        times=np.array(times, np.float64).reshape(-1, 2),
        frame_size=size,
        track=np.array([number[row.person] for row in rows], np.int64),
        row=np.array([row.row for row in rows], np.int64),
        boxes=np.array([row.box for row in rows], np.float32).reshape(-1, 4),
        landmarks=np.array([row.landmarks for row in rows], np.float32).reshape(-1, 5, 2),
        score=np.clip(np.array([row.score for row in rows], np.float32), 0, 1),
        squares=np.array([row.square for row in rows], np.float32).reshape(-1, 3),
        crops=EncodedImages.join([row.crop for row in rows]),
    )
