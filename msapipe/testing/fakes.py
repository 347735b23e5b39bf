"""Deterministic synthetic clips, sounds, faces and features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from msapipe.types import (
    Clip,
    EncodedImages,
    FaceClip,
    FaceTracks,
    FeatureSequence,
    Frames,
    MediaInfo,
    Speaker,
    Transcript,
    Waveform,
    Word,
)

RATE = 16000


def waveform(seconds: float = 1.0, kind: Literal["tone", "noise", "silence"] = "tone") -> Waveform:
    """A 220 Hz tone with overtones and a slow swell, white noise, or silence."""
    t = np.arange(int(seconds * RATE)) / RATE
    if kind == "silence":
        return Waveform(np.zeros(len(t), np.float32), RATE)
    if kind == "noise":
        return Waveform(np.random.default_rng(0).uniform(-0.5, 0.5, len(t)).astype(np.float32), RATE)
    partials = sum(np.sin(2 * np.pi * 220 * k * t) / k for k in range(1, 6))
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 2 * t) ** 2
    return Waveform((0.25 * partials * swell).astype(np.float32), RATE)


def frames(count: int = 6, size: tuple[int, int] = (64, 80), kind: Literal["noise", "black"] = "noise") -> Frames:
    """Frames without a face, ten per second."""
    random = np.random.default_rng(0)

    def read() -> Iterator[tuple[NDArray[np.uint8], float, float]]:
        for i in range(count):
            black = np.zeros((*size, 3), np.uint8)
            yield (black if kind == "black" else random.integers(0, 255, (*size, 3), np.uint8)), i / 10, (i + 1) / 10

    return Frames(read)


def face_tracks(count: int = 6, people: int = 1) -> FaceTracks:
    """Drawn faces of 48 pixels, side by side; ``people=0`` gives frames without a face."""
    import cv2

    times = np.stack([np.arange(count) / 10, np.arange(1, count + 1) / 10], axis=1)
    row, track = (part.ravel() for part in np.mgrid[0:count, 0:people])
    x = 20.0 + 80.0 * track
    boxes = np.stack([x, np.full(len(x), 20.0), x + 48, np.full(len(x), 68.0)], axis=1)
    points = np.array([[14, 18], [34, 18], [24, 28], [16, 38], [32, 38]], np.float64)
    side = 48 * 1.4
    corner = np.stack([x + 24 - side / 2, np.full(len(x), 44 - side / 2)], axis=1)
    found, jpeg = cv2.imencode(".jpg", _drawn_face())
    if not found:
        raise RuntimeError("opencv cannot write JPEG")
    return FaceTracks(
        times=times,
        frame_size=(120, 200),
        track=track.astype(np.int64),
        row=row.astype(np.int64),
        boxes=boxes.astype(np.float32),
        landmarks=(boxes[:, None, :2] + points).astype(np.float32),
        score=np.full(len(x), 0.99, np.float32),
        squares=np.concatenate([corner, np.full((len(x), 1), side)], axis=1).astype(np.float32),
        crops=EncodedImages.join([jpeg.tobytes()] * len(x)),
    )


def face_clip(count: int = 6, seen: bool = True) -> FaceClip:
    """One drawn face in every frame, or in none."""
    speaker = Speaker(np.full(count, 0 if seen else -1, np.int64), np.ones(count, np.float32))
    return FaceClip(face_tracks(count, 1 if seen else 0), speaker)


def transcript(text: str = "What a wonderful day . I do not hate it", timed: bool = True) -> Transcript:
    """Words of 0.3 s each, or without times."""
    words = text.split()
    return Transcript(
        tuple(Word(word, i * 0.3, i * 0.3 + 0.25) if timed else Word(word) for i, word in enumerate(words)),
        "en",
        "given",
    )


def features(dims: dict[str, int], steps: int = 8, seed: int = 0) -> dict[str, FeatureSequence]:
    """Normally distributed features of each modality; one modality may be longer than another."""
    random = np.random.default_rng(seed)
    out = {}
    for i, (name, width) in enumerate(dims.items()):
        rows = steps + 2 * i
        times = np.stack([np.arange(rows) / 10, np.arange(1, rows + 1) / 10], axis=1)
        values = random.normal(size=(rows, width)).astype(np.float32)
        out[name] = FeatureSequence(values, times, np.ones(rows, bool))
    return out


def inputs(names: tuple[str, ...], kind: Literal["usual", "empty", "short"] = "usual") -> dict[str, Any]:
    """Inputs of a stage's ``run``, by parameter name.

    usual: about a second of each.   empty: no face, silence, no words.   short: one frame, 50 ms.
    """
    empty, short = kind == "empty", kind == "short"
    made: dict[str, Any] = {
        "clip": Clip("fake.mp4", Path("fake.mp4"), text=None if empty else "What a wonderful day"),
        "media": MediaInfo("mp4", "h264 80x64 10 fps", "aac 16000 Hz 1 channel", 0.05 if short else 3.0),
        "frames": frames(1 if short else 6, kind="black" if empty else "noise"),
        "waveform": waveform(0.05 if short else 1.5, "silence" if empty else "tone"),
        "transcript": Transcript() if empty else transcript("good" if short else "What a wonderful day"),
        "faces": face_tracks(1 if short else 6, 0 if empty else 2),
        "face_clip": face_clip(1 if short else 6, seen=not empty),
    }
    made["words"] = made["transcript"]
    return {name: made[name] for name in names}


def _drawn_face() -> NDArray[np.uint8]:
    """A disc with eyes and a mouth, 67x67 BGR."""
    import cv2

    face = np.full((67, 67, 3), 40, np.uint8)
    cv2.circle(face, (33, 33), 26, (140, 170, 220), -1)
    for x in (24, 43):
        cv2.circle(face, (x, 28), 3, (30, 30, 30), -1)
    cv2.ellipse(face, (33, 46), (9, 3), 0, 0, 360, (40, 40, 120), -1)
    return face
