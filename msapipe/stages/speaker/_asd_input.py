"""Inputs of active speaker detection: grey face crops at 25 frames per second, and MFCCs at 100 rows per second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from msapipe.types import FaceTracks

FPS = 25  # frames per second
HEARD = 4  # audio rows per frame
SIZE = 112  # pixels, side of a crop
RATE = 16000  # Hz, sampling rate of the sound

_GAP = 0.5  # seconds out of sight that end a piece
_MEDIAN = 13  # frames in the median filter of face position and size
_PADDING = 110  # grey level outside the frame

_WINDOW, _STEP, _FFT = 400, 160, 512  # samples: 25 ms, 10 ms
_BANDS, _CEPSTRUM, _LIFTER = 26, 13, 22
_ROWS = 4096  # audio rows computed at once, to bound memory to about 20 MB

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """A continuous appearance of one person.

    found: int64 (n,), the person's rows in FaceTracks.   first: the start, in 1/25 s from the start of the clip.
    shown: int64 (T,), for each 1/25 s the entry of ``found`` nearest in time.
    squares: float64 (T, 3) x, y, side of the crop in frame pixels.
    """

    found: NDArray[np.int64]
    first: int
    shown: NDArray[np.int64]
    squares: Floats

    def __len__(self) -> int:
        return len(self.shown)


def pieces(faces: FaceTracks) -> Iterator[Piece]:
    """The tracks in FaceTracks, split where a person is out of sight for more than half a second."""
    starts = faces.times[faces.row, 0]
    order = np.argsort(faces.track, kind="stable")
    new = (np.diff(faces.track[order]) != 0) | (np.diff(starts[order]) > _GAP + 1e-6)
    for found in np.split(order, np.flatnonzero(new) + 1):
        if len(found):
            yield _piece(faces, found, starts[found])


def _piece(faces: FaceTracks, found: NDArray[np.int64], starts: Floats) -> Piece:
    first, last = round(float(starts[0]) * FPS), round(float(starts[-1]) * FPS)
    edges = (starts[:-1] + starts[1:]) / 2
    shown = np.searchsorted(edges, np.arange(first, last + 1) / FPS, side="right")
    boxes = faces.boxes[found[shown]].astype(np.float64)
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    x, y, half = _filtered(np.hstack([centre, half])).T
    # The middle half of a square from 1.4 half sides left to 1.4 right of the face, and from 1.0 above to 1.8 below it.
    squares = np.stack([x - 0.7 * half, y - 0.3 * half, 1.4 * half], 1)
    return Piece(found, first, shown, squares)


def _filtered(rows: Floats) -> Floats:
    """The running median of each column; the first and last row are repeated beyond the ends."""
    padded = np.pad(rows, ((_MEDIAN // 2, _MEDIAN // 2), (0, 0)), mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, _MEDIAN, axis=0), axis=-1))


def pictures(faces: FaceTracks, piece: Piece, begin: int, end: int) -> NDArray[np.uint8]:
    """Frames ``begin`` to ``end`` of a piece, cropped from the stored crops: uint8 (end - begin, 112, 112) grey."""
    import cv2

    cut = np.empty((end - begin, SIZE, SIZE), np.uint8)
    decoded, stored = -1, np.zeros((1, 1), np.uint8)
    for number in range(begin, end):
        face = int(piece.found[piece.shown[number]])
        if face != decoded:
            decoded, stored = face, _stored(faces, face)
        x, y, side = faces.squares[face]
        scale = stored.shape[0] / max(float(side), 1.0)
        left, top, width = piece.squares[number]
        step = width / SIZE * scale  # pixels of the stored crop per output pixel, measured between centres
        shift = [(start - corner) * scale + step / 2 - 0.5 for start, corner in ((left, x), (top, y))]
        way = np.array([[step, 0, shift[0]], [0, step, shift[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cut[number - begin] = cv2.warpAffine(stored, way, (SIZE, SIZE), flags=flags, borderValue=_PADDING)
    return cut


def _stored(faces: FaceTracks, face: int) -> NDArray[np.uint8]:
    """A stored crop in grey: uint8 (S, S); outside the frame it has the grey level that the networks expect."""
    import cv2

    grey = np.asarray(cv2.cvtColor(faces.crops.decode(face), cv2.COLOR_RGB2GRAY), np.uint8)
    x, y, side = faces.squares[face]
    height, width = faces.frame_size
    across, down = (corner + (np.arange(len(grey)) + 0.5) * (side / len(grey)) for corner in (x, y))
    grey[(down < 0) | (down > height)] = _PADDING
    grey[:, (across < 0) | (across > width)] = _PADDING
    return grey


def cepstrum(samples: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """MFCC of sound at 16000 Hz in [-1, 1]: float32 (rows, 13), row i begins at i / 100 s; silence after its end.

    Davis and Mermelstein (1980), equal to python_speech_features, on which the networks were trained: samples in 16-bit
    range, pre-emphasis 0.97, no window function, 26 filters, lifter 22; the first column is the log energy.
    """
    whole = np.rint(np.clip(samples.astype(np.float64) * 32768, -32768, 32767))
    whole = np.concatenate([whole[:1], whole[1:] - 0.97 * whole[:-1]])
    needed = max(rows - 1, 0) * _STEP + _WINDOW
    whole = np.concatenate([whole[:needed], np.zeros(max(needed - len(whole), 0))])
    windows = np.lib.stride_tricks.sliding_window_view(whole, _WINDOW)[::_STEP]
    out = np.empty((rows, _CEPSTRUM), np.float32)
    for begin in range(0, rows, _ROWS):
        spectrum = np.fft.rfft(windows[begin : min(begin + _ROWS, rows)], _FFT)
        power = (spectrum.real**2 + spectrum.imag**2) / _FFT
        some = np.log(_positive(power @ _triangles())) @ _cosines()
        some[:, 0] = np.log(_positive(power.sum(1)))
        out[begin : begin + len(some)] = some
    return out


def _positive(power: Floats) -> Floats:
    return np.where(power == 0, np.finfo(float).eps, power)


@lru_cache(maxsize=1)
def _triangles() -> Floats:
    """Triangular filters of height one, evenly spaced in mel from 0 Hz to half the rate, with corners on whole bins."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), _BANDS + 2)
    corners = np.floor((_FFT + 1) * 700 * (10 ** (mel / 2595) - 1) / RATE)
    bins = np.arange(_FFT // 2 + 1)[:, None]
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    return np.asarray(np.maximum(0, np.where(bins < middle, rising, falling)), np.float64)


@lru_cache(maxsize=1)
def _cosines() -> Floats:
    """The orthonormal DCT-II with the lifter: (26, 13)."""
    order = np.arange(_CEPSTRUM)
    matrix = np.cos(np.pi / _BANDS * (np.arange(_BANDS)[:, None] + 0.5) * order) * np.sqrt(2 / _BANDS)
    matrix[:, 0] /= np.sqrt(2)
    return np.asarray(matrix * (1 + _LIFTER / 2 * np.sin(np.pi * order / _LIFTER)), np.float64)
