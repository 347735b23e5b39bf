"""faces/mtcnn against facenet_pytorch.MTCNN.detect frame by frame: processor time, and how far they agree.

Talking head: landmarks against the median of eight facenet runs on the picture moved by one pixel to each side, in per
cent of the distance between the eyes, ours and one plain facenet run's; and the share of facenet's frames with a face
(its largest one) where one of ours overlaps it by half. The 720p clip is a real talking head scaled up by ffmpeg, with
a blurred copy of itself at the sides.

Crowd: the share of facenet's faces at least 40 pixels high that ours overlaps by half, and how often a person changes
his number, in our tracks and in plain tracking of facenet's boxes by overlap. Who is who is taken from facenet on all
pictures of the film at half size, linked from each to the next by overlap along the way that a face goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _extract_table import SAMPLES, SHARED, Row, spent, wide
from facenet_pytorch import MTCNN
from numpy.typing import NDArray
from PIL import Image

from msapipe.media import Decoder, MediaOptions
from msapipe.stages import STAGES
from msapipe.types import Clip, FaceTracks, Frames

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

SHIFTS = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)]
TALL = 40  # pixels: smaller faces of a crowd are not asked for
GAP = 0.6  # seconds that a person may be out of sight
BETWEEN = 3  # one picture in so many is looked at eight times more


class Film(NamedTuple):
    """A clip, how it is called, what is aimed at, and whether more than one person walks through it."""

    name: str
    path: Path
    reach: str = ""
    crowd: bool = False


class Seen(NamedTuple):
    """Faces of one picture: boxes (n, 4), landmarks (n, 5, 2), numbers of persons (n,)."""

    boxes: Floats
    points: Floats
    people: NDArray[np.int64]


def films(place: Path) -> Iterator[Film]:
    """Those that are there."""
    speech = SHARED / "speech"
    if (speech / "retalk_1.mp4").is_file():
        talking = wide(speech / "retalk_1.mp4", place / "talking_720p.mp4")
        yield Film("720p talking head", talking, "30")
        yield Film("360x288 talking head", speech / "grid_bbaf2n.mpg", "10")
        yield Film("1080p crowd", SHARED / "faces" / "crowd_1080p_facenet.mp4", "25", True)
        yield Film("700p talking head", speech / "retalk_1.mp4")
    yield Film("360p talking head", SAMPLES / "positive.mp4")


def decoded(path: Path, fps: float = 10) -> list[tuple[Picture, float, float]]:
    with Decoder() as decoder:
        frames = decoder.frames(Clip(path.name, path), MediaOptions(fps=fps))
        return [(p, a, b) for batch in frames.batches(16) for p, (a, b) in zip(batch.pixels, batch.times, strict=True)]


class Facenet:
    """facenet-pytorch as most use it."""

    def __init__(self) -> None:
        self._net = MTCNN(keep_all=True, device="cpu")

    def __call__(self, picture: Picture) -> Seen:
        """Every face, the largest first; nobody is numbered."""
        boxes, _, points = self._net.detect(Image.fromarray(picture), landmarks=True)
        if boxes is None:
            return Seen(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.int64))
        return Seen(boxes.astype(np.float32), points.astype(np.float32), np.full(len(boxes), -1))


def measured(film: Film, stage: Any, facenet: Facenet) -> Row:
    """Ours before, in the middle and behind theirs, the fastest; theirs on every picture once."""
    pictures = decoded(film.path)
    frames = Frames(lambda: iter(pictures))
    halves = np.array_split(np.arange(len(pictures)), 2)
    ours, theirs, seen = [], 0.0, []
    tracks = None
    for half in (*halves, halves[0][:0]):
        begun = spent()
        tracks = stage.run(frames)
        ours.append(spent() - begun)
        begun = spent()
        seen += [facenet(pictures[i][0]) for i in half]
        theirs += spent() - begun
    found = by_picture(tracks)
    agreement = crowd(film, pictures, found, seen, facenet) if film.crowd else head(pictures, found, seen, facenet)
    part = f"faces, {film.name}, a frame"
    return Row(part, min(ours) / len(pictures), theirs / len(pictures), "ms", agreement, film.reach, "O-Net, P-Net")


def by_picture(tracks: FaceTracks) -> list[Seen]:
    rows = [tracks.row == row for row in range(len(tracks.times))]
    return [Seen(tracks.boxes[row], tracks.landmarks[row], tracks.track[row]) for row in rows]


def head(pictures: list[tuple[Picture, float, float]], ours: list[Seen], theirs: list[Seen], facenet: Facenet) -> str:
    """Recall of the largest face, and errors of landmarks."""
    with_face = [i for i, seen in enumerate(theirs) if len(seen.boxes)]
    matches = {i: nearest(ours[i], theirs[i].boxes[0]) for i in with_face}
    recall = np.mean([match is not None for match in matches.values()])
    errors = []
    for i in with_face[::BETWEEN]:
        target = median_of_shifted(pictures[i][0], theirs[i].boxes[0], facenet)
        match = matches[i]
        if target is not None and match is not None:
            errors.append((error(ours[i].points[match], target), error(theirs[i].points[0], target)))
    mine, plain = np.median(errors, axis=0)
    return f"landmarks off {mine:.2f} % (facenet {plain:.2f} %) of {len(errors)} frames; recall {recall:.3f}"


def median_of_shifted(picture: Picture, box: Floats, facenet: Facenet) -> Floats | None:
    """The median landmarks (5, 2) of the face in ``box`` over the runs that find it; None when fewer than half do."""
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = picture.shape[:2]
    found = []
    for x, y in SHIFTS:
        seen = facenet(np.ascontiguousarray(padded[1 - y : 1 - y + height, 1 - x : 1 - x + width]))
        match = nearest(seen, box)
        if match is not None:
            found.append(seen.points[match] - np.array([x, y], np.float32))
    return np.median(found, axis=0) if len(found) >= len(SHIFTS) / 2 else None


def error(points: Floats, target: Floats) -> float:
    """Mean distance of five landmarks in per cent of the distance between the eyes."""
    return float(100 * np.linalg.norm(points - target, axis=1).mean() / np.linalg.norm(target[0] - target[1]))


def iou(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union: (n, m)."""
    common = np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - np.maximum(boxes[:, None, :2], others[None, :, :2])
    shared = common.clip(0).prod(-1)
    areas = [(some[:, 2:] - some[:, :2]).prod(-1) for some in (boxes, others)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-6))


def nearest(seen: Seen, box: Floats) -> int | None:
    """Which face overlaps a box most, if by half."""
    overlap = iou(seen.boxes, box[None])[:, 0]
    return int(overlap.argmax()) if len(overlap) and overlap.max() >= 0.5 else None


def pairs(boxes: Floats, others: Floats, least: float) -> Iterator[tuple[int, int]]:
    """Which box is which, each once, the best overlaps first."""
    overlap = iou(boxes, others)
    while overlap.size and overlap.max() >= least:
        i, j = np.unravel_index(int(overlap.argmax()), overlap.shape)
        overlap[i], overlap[:, j] = 0, 0
        yield int(i), int(j)


def crowd(
    film: Film, pictures: list[tuple[Picture, float, float]], ours: list[Seen], theirs: list[Seen], facenet: Facenet
) -> str:
    """Recall of facenet's faces, and how often persons change their number."""
    times = [start for _, start, _ in pictures]
    tall = [seen.boxes[seen.boxes[:, 3] - seen.boxes[:, 1] >= TALL] for seen in theirs]
    met = sum(len(list(pairs(boxes, seen.boxes, 0.5))) for boxes, seen in zip(tall, ours, strict=True))
    recall = met / sum(map(len, tall))
    every = decoded(film.path, 60)
    dense = [facenet(np.asarray(Image.fromarray(picture).reduce(2))) for picture, _, _ in every]
    truth = linked([seen._replace(boxes=seen.boxes * 2) for seen in dense], [start for _, start, _ in every], True)
    people, pictures_of = np.unique(np.concatenate([seen.people for seen in truth]), return_counts=True)
    people = people[pictures_of >= 5]  # the others are mistakes of the detector
    at = [int(np.argmin([abs(start - time) for _, start, _ in every])) for time in times]
    truth = [only(truth[i], people) for i in at]
    mine, plain = (switches(seen, truth) for seen in (ours, linked(theirs, times, False)))
    return f"recall {recall:.3f}; identity switches {mine} (facenet and overlap {plain}) of {len(people)} people"


def only(seen: Seen, people: NDArray[np.int64]) -> Seen:
    return Seen(*(part[np.isin(seen.people, people)] for part in seen))


def linked(seen: list[Seen], times: list[float], moving: bool) -> list[Seen]:
    """Faces numbered by overlap with where each person was; moving: with where he should be by now."""
    known: list[tuple[Floats, Floats, float]] = []  # last box, its way a second, when
    out = []
    for faces, now in zip(seen, times, strict=True):
        recent = [n for n, (_, _, when) in enumerate(known) if now - when <= GAP]
        guess = np.array([known[n][0] + known[n][1] * (now - known[n][2]) * moving for n in recent], np.float32)
        people = np.full(len(faces.boxes), -1)
        for face, index in pairs(faces.boxes, guess.reshape(-1, 4), 0.3):
            people[face] = recent[index]
        for face, box in enumerate(faces.boxes):
            if people[face] < 0:
                people[face] = len(known)
                known.append((box, np.zeros(4, np.float32), now))
            else:
                before, way, when = known[people[face]]
                # Of the box's middle alone, and smoothed: single boxes tremble.
                step = np.tile((box - before).reshape(2, 2).mean(0), 2) / (now - when)
                known[people[face]] = (box, (0.7 * way + 0.3 * step).astype(np.float32), now)
        out.append(faces._replace(people=people))
    return out


def switches(seen: list[Seen], truth: list[Seen]) -> int:
    """How often a true person is called by another number than when last seen."""
    called: dict[int, int] = {}
    count = 0
    for faces, true in zip(seen, truth, strict=True):
        for face, person in pairs(faces.boxes, true.boxes, 0.5):
            who, number = int(true.people[person]), int(faces.people[face])
            count += called.get(who, number) != number
            called[who] = number
    return count


def rows(place: Path) -> Iterator[Row]:
    """A row a film."""
    stage = STAGES["faces"].get("mtcnn")()
    stage.load("cpu")
    facenet = Facenet()
    for film in films(place):
        yield measured(film, stage, facenet)
