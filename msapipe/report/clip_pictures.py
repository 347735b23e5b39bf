"""Pictures for a clip's page: a strip of faces, the waveform, and the mel spectrogram."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msapipe.pipeline.tracks import stretches
from msapipe.types import FaceTracks, Speaker, Waveform

MOMENTS = 12  # columns of the strip of faces
MOST_PEOPLE = 4
_SIDE = 72  # pixels of a face in the strip
_COLUMNS = 800  # of waveform and spectrogram, at most
_BANDS, _WINDOW = 64, 512
_FLOOR_DB = -80.0


@dataclass(frozen=True)
class Face:
    """A face in the strip: seconds, picture as a data URL, and whether this person speaks then."""

    at: float
    picture: str
    speaks: bool


@dataclass(frozen=True)
class Person:
    """A row of the strip: one face or None per moment; ``turns``: stretches in which this person is the speaker."""

    track: int
    faces: tuple[Face | None, ...]
    turns: tuple[tuple[float, float], ...]


def people(faces: FaceTracks, speaker: Speaker, seconds: float) -> tuple[list[Person], int]:
    """The people who are visible longest, by time, and the number of others."""
    numbers, counts = np.unique(faces.track, return_counts=True)
    longest = sorted(zip(-counts, numbers, strict=True))
    chosen = [int(number) for _, number in longest[:MOST_PEOPLE]]
    return [_person(faces, speaker, track, seconds) for track in sorted(chosen)], max(0, len(numbers) - MOST_PEOPLE)


def _person(faces: FaceTracks, speaker: Speaker, track: int, seconds: float) -> Person:
    mine = np.flatnonzero(faces.track == track)
    at = faces.times[faces.row[mine]].mean(axis=1)
    found: list[Face | None] = []
    for column in range(MOMENTS):
        start, end = column * seconds / MOMENTS, (column + 1) * seconds / MOMENTS
        inside = np.flatnonzero((at >= start) & (at < end))
        if not len(inside):
            found.append(None)
            continue
        one = mine[inside[np.argmin(np.abs(at[inside] - (start + end) / 2))]]
        moment = float(faces.times[faces.row[one], 0])
        speaks = bool(speaker.track[faces.row[one]] == track)
        found.append(Face(moment, jpeg(faces.crops.decode(int(one)), _SIDE), speaks))
    turns = tuple((start, end) for start, end in stretches(faces.times[speaker.track == track]))
    return Person(track, tuple(found), turns)


def jpeg(picture: NDArray[np.uint8], side: int) -> str:
    """A picture (H, W, 3) RGB as a data URL, at most ``side`` pixels wide and high."""
    import cv2

    scale = side / max(picture.shape[:2])
    if scale < 1:
        picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return _address(picture[:, :, ::-1], ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 72])


def _address(picture: NDArray[np.uint8], ending: str, options: Sequence[int] = ()) -> str:
    import cv2

    _, data = cv2.imencode(ending, picture, list(options))
    kind = {".jpg": "jpeg", ".png": "png"}[ending]
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"


def outline(waveform: Waveform, seconds: float) -> str:
    """The waveform as an SVG path in a 1000 x 2 box, silence at 1: lowest and highest sample per column."""
    samples = waveform.samples
    if not len(samples) or seconds <= 0:
        return ""
    count = min(_COLUMNS, len(samples))
    edges = np.linspace(0, len(samples), count + 1).astype(np.int64)[:-1]
    top, bottom = np.maximum.reduceat(samples, edges), np.minimum.reduceat(samples, edges)
    wide = 1000 * min(1.0, waveform.seconds / seconds)
    x = (np.arange(count) + 0.5) * wide / count
    there = [f"{a:.1f} {1 - b:.2f}" for a, b in zip(x, np.maximum(top, 0.01), strict=True)]
    back = [f"{a:.1f} {1 - b:.2f}" for a, b in zip(x[::-1], np.minimum(bottom, -0.01)[::-1], strict=True)]
    return f"M{'L'.join([*there, *back])}Z"


def mel(waveform: Waveform) -> str:
    """The mel spectrogram in dB below its loudest point, as a data URL; "" for too little sound.

    64 bands (O'Shaughnessy, 1987) of windows of 512 samples, at most 800 windows over the clip.
    """
    import cv2

    samples = waveform.samples
    if len(samples) < 2 * _WINDOW:
        return ""
    count = min(_COLUMNS, (len(samples) - _WINDOW) // (_WINDOW // 2) + 1)
    starts = np.linspace(0, len(samples) - _WINDOW, count).astype(np.int64)
    windows = samples[starts[:, None] + np.arange(_WINDOW)] * np.hanning(_WINDOW).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(windows, axis=1))) @ _bands(waveform.rate).T
    loud = 10 * np.log10(np.maximum(power, 1e-10))
    level = np.clip((loud - loud.max() - _FLOOR_DB) / -_FLOOR_DB, 0, 1)
    grey = (255 * level.T[::-1]).astype(np.uint8)
    return _address(np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS), np.uint8), ".jpg", [1, 70])


def _bands(rate: int) -> NDArray[np.float64]:
    """Triangular filters on the mel scale up to half the rate: float64 (64, 257)."""
    highest = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, _BANDS + 2) / 2595) - 1)
    at = np.linspace(0, rate / 2, _WINDOW // 2 + 1)
    rising = (at - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - at) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(rising, falling), 0, None)


def heat(values: NDArray[np.float64]) -> str:
    """Values (H, W) as a picture with one pixel each, from lowest to highest, as a data URL."""
    import cv2

    span = float(values.max() - values.min()) or 1.0
    grey = (255 * (values - values.min()) / span).astype(np.uint8)
    return _address(np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS), np.uint8), ".png")


def speech(waveform: Waveform) -> list[tuple[float, float]]:
    """Stretches of speech in seconds, from Silero VAD."""
    from msapipe.stages._speech import SpeechDetector, at_16k

    return SpeechDetector().spans(at_16k(waveform)) if len(waveform.samples) else []
