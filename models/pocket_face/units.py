"""What MediaPipe's blendshapes say of the faces that the expression net learns from: its teacher of action units.

Each face is read three times over: the photograph, the photograph bent by a program (corners of the mouth, brows, lips
and jaw, so that a smile may be bent into a frown), and frames of films of people who talk or smile.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
from numpy.typing import NDArray

from msapipe.cache import Store
from msapipe.pipeline.plan import plan
from msapipe.pipeline.run import Options, Runner
from msapipe.pipeline.spec import parse_spec
from msapipe.stages.vision._expression_net import picture
from msapipe.stages.vision._mediapipe import SIZE, MediaPipe, intensities
from msapipe.stages.vision._units import UNITS
from msapipe.types import Clip, FaceClip

FIELD = 96  # pixels that are kept of each face: the net's 64 and what turning and shifting may bring in
FILMS = "faces/*.mp4", "speech/grid_[bl]*.mpg", "speech/retalk_1.mp4"  # to learn from; the others to measure on
PIPELINE = """schema: 1
media: {fps: 10, rate: 16000, peak_db: -3}
stages: {faces: {use: mtcnn, min_score: 0.9}, speaker: {use: largest}}
"""

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
log = logging.getLogger("units")


@dataclass(frozen=True)
class Read:
    """pictures: uint8 (n, 96, 96).   units: float32 (n, 17) in [0, 1], of action_units' UNITS, NaN where MediaPipe
    found no face.
    """

    pictures: Bytes
    units: Floats


@dataclass(frozen=True)
class Taught:
    """photographs: as given.   bent: of the same, in the same order.   films: frames to learn from.   unseen: frames
    of other films.
    """

    photographs: Read
    bent: Read
    films: Read
    unseen: Read


def taught(photographs: Bytes, media: Path, weights: Path, work: Path) -> Taught:
    """Photographs uint8 (n, 96, 96) and the films of ``media``, read by MediaPipe now or before."""
    kept = work / "units.npz"
    if not kept.is_file():
        learned = sorted({path for pattern in FILMS for path in media.glob(pattern)})
        others = sorted(path for path in media.rglob("*") if path.suffix in (".mp4", ".mpg") and path not in learned)
        parts = {
            "photographs": photographs,
            "bent": bent_all(photographs),
            "films": faces_in(learned, work),
            "unseen": faces_in(others, work),
        }
        units = {f"{name}_units": read(part, weights) for name, part in parts.items()}
        np.savez(kept, **parts, **units)
    with np.load(kept) as found:
        names = ("photographs", "bent", "films", "unseen")
        return Taught(**{name: Read(found[name], found[f"{name}_units"]) for name in names})


def read(pictures: Bytes, weights: Path) -> Floats:
    """The 17 units of each picture: (n, 17), NaN where no face was found."""
    parts = np.array_split(pictures, max(1, len(pictures) // 500))
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return np.concatenate(list(pool.map(_read, parts, repeat(weights))))


def _read(pictures: Bytes, weights: Path) -> Floats:
    cv2.setNumThreads(1)
    units = np.full((len(pictures), len(UNITS)), np.nan, np.float32)
    with MediaPipe(weights).opened() as blendshapes:
        for row, seen in enumerate(pictures):
            large = cv2.resize(seen, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
            found = blendshapes(np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2RGB), np.uint8))
            if found:
                units[row] = intensities(found)
    return units


def faces_in(films: list[Path], work: Path) -> Bytes:
    """The speaker of each film, ten pictures a second: (n, 96, 96)."""
    spec, store = parse_spec(PIPELINE, "faces"), Store(work / "cache")
    found = [np.zeros((0, FIELD, FIELD), np.uint8)]
    with Runner(spec, store, Options("cpu", offline=True)) as runner:
        for film in films:
            clip = Clip(film.name, film)
            outcome = runner.run(clip)
            if outcome.error is not None:
                raise RuntimeError(f"{film}: {outcome.error}")
            keys = {step.slot: step.key for step in plan(clip, spec, store).steps if step.use}
            entries = [store.get(slot, keys[slot]) for slot in ("faces", "speaker")]
            faces, speaker = (entry.value if entry else None for entry in entries)
            if faces is None or speaker is None:
                continue
            face = FaceClip(faces, speaker)
            rows = np.flatnonzero(face.valid).tolist()
            found += [picture(face, row, FIELD)[None] for row in rows]
    return np.concatenate(found)


# --- bending -----------------------------------------------------------------------------------------------------

# Where things lie in a picture of 96 pixels, whose eyes and corners of the mouth stand where the net expects them.
_CORNERS = ((38.5, 68.0), (57.7, 68.0))
_LIPS = (48.0, 68.0)
_BROWS = ((41.0, 33.0), (55.0, 33.0))


def bent_all(pictures: Bytes) -> Bytes:
    """Each picture bent at random: (n, 96, 96)."""
    random = np.random.default_rng(0)
    return np.stack([bent(seen, random) for seen in pictures])


def bent(seen: Bytes, random: np.random.Generator) -> Bytes:
    """A face whose corners of the mouth are moved up to 9 pixels down or 5 up, its brows 3 and its lower lip 6."""
    field = np.zeros((2, FIELD, FIELD), np.float32)  # how far what lies here comes from, across and down
    down, brow, lip = random.uniform(-5, 9), random.uniform(-3, 3), max(0.0, random.uniform(-4, 6))
    for x, y in _CORNERS:
        field[1] += down * _hill(x, y, 7, 8)
    field[1] -= 0.3 * down * _hill(*_LIPS, 5, 8)
    field[1] += lip * _hill(_LIPS[0], _LIPS[1] + 8, 12, 6)
    for side, (x, y) in zip((1, -1), _BROWS, strict=True):
        field[1] += brow * _hill(x, y, 7, 6)
        field[0] += side * max(0.0, brow) * _hill(x, y, 7, 6)
    across, down_to = np.meshgrid(np.arange(FIELD, dtype=np.float32), np.arange(FIELD, dtype=np.float32))
    warped = cv2.remap(seen, across - field[0], down_to - field[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def _hill(x: float, y: float, wide: float, high: float) -> Floats:
    """1 at a place, falling off around it: (96, 96)."""
    across, down = np.meshgrid(np.arange(FIELD), np.arange(FIELD))
    return np.asarray(np.exp(-(((across - x) / wide) ** 2 + ((down - y) / high) ** 2) / 2), np.float32)
