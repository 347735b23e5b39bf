"""Framing, mel filters, DCT, deltas and pitch, shared by the stages ``mfcc`` and ``prosody``."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from msapipe.types.sound import let_go

_LOW, _HIGH = 75.0, 500.0  # Hz, pitch range of the speech of men, women and children
_PITCH_WINDOW = 0.040  # seconds: three periods of the lowest pitch
_VOICED = 0.45  # least autocorrelation peak of a voiced row, as in Praat
_OCTAVE_COST = 0.01  # per octave below _HIGH: of equal peaks, the highest pitch wins, as in Praat
_DELTA_WIDTH = 9  # rows, librosa's default

Floats = NDArray[np.float32]


def framed(samples: Floats, first: int, last: int, hop: int, size: int) -> Floats:
    """Rows ``first`` to ``last``, each ``size`` samples centred on row * hop, zero beyond the sound."""
    start = first * hop - size // 2
    stop = (last - 1) * hop - size // 2 + size
    piece = samples[max(start, 0) : max(stop, 0)]
    padded = np.zeros(stop - start, np.float32)
    padded[max(-start, 0) : max(-start, 0) + len(piece)] = piece
    let_go(samples)
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]


@lru_cache(maxsize=8)
def hann_window(length: int, size: int) -> Floats:
    """A periodic Hann window of ``length`` samples, centred in ``size``."""
    window = np.zeros(size, np.float32)
    left = (size - length) // 2
    window[left : left + length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    return window


@lru_cache(maxsize=8)
def mel_bank(rate: int, size: int, n_mels: int) -> Floats:
    """Slaney's mel filters of equal area from 0 Hz to half the rate: (size // 2 + 1, n_mels)."""
    step, corner = 200 / 3, 1000.0  # Hz per mel below the corner; logarithmic above
    factor = np.log(6.4) / 27
    top = corner / step + np.log(max(rate / 2, corner) / corner) / factor if rate / 2 > corner else rate / 2 / step
    mels = np.linspace(0, top, n_mels + 2)
    edges = np.where(mels < corner / step, mels * step, corner * np.exp(factor * (mels - corner / step)))
    bins = np.arange(size // 2 + 1) * (rate / size)
    width = np.diff(edges)
    up = (bins[:, None] - edges[None, :-2]) / width[:-1]
    down = (edges[None, 2:] - bins[:, None]) / width[1:]
    bank = np.maximum(0, np.minimum(up, down)) * (2 / (edges[2:] - edges[:-2]))
    return np.asarray(bank, np.float32)


@lru_cache(maxsize=8)
def cosines(n_in: int, n_out: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II: (n_in, n_out); float64, since mfcc_0 is a sum of 64 numbers around -100."""
    angles = np.pi / n_in * (np.arange(n_in)[:, None] + 0.5) * np.arange(n_out)[None, :]
    matrix = np.cos(angles) * np.sqrt(2 / n_in)
    matrix[:, 0] /= np.sqrt(2)
    return np.asarray(matrix, np.float64)


def slopes(rows: Floats, out: Floats, piece: int) -> None:
    """Slope of a line fit to the 9 rows around each row, as librosa.feature.delta; at the ends, to the outermost 9.

    A shorter sound uses as many rows as it has, an odd number; one or two rows have slope 0.
    """
    half = (min(_DELTA_WIDTH, len(rows) - 1 + len(rows) % 2) - 1) // 2
    if half < 1:
        return
    norm = 2 * sum(offset**2 for offset in range(1, half + 1))
    stop = len(rows) - half
    for first in range(half, stop, piece):
        last = min(first + piece, stop)
        slope = sum(
            offset * (rows[first + offset : last + offset] - rows[first - offset : last - offset])
            for offset in range(1, half + 1)
        )
        out[first:last] = slope / norm
    out[:half] = out[half]
    out[stop:] = out[stop - 1]


def track_pitch(samples: Floats, rate: int, hop: int, out: Floats, piece: int) -> None:
    """f0 in Hz, 0 where unvoiced, and voicing in [0, 1], into (1 + N // hop, 2)."""
    length = round(_PITCH_WINDOW * rate)
    shortest, longest = int(rate / _HIGH), int(np.ceil(rate / _LOW))
    if shortest < 2:  # the sampling rate is too low for pitch
        return
    size = 1 << (length + longest).bit_length()
    window = hann_window(length, length)
    own = np.fft.irfft(np.abs(np.fft.rfft(window.astype(np.float64), size)) ** 2, size)[: longest + 2]
    lags = np.arange(shortest, longest + 1)
    bonus = np.asarray(_OCTAVE_COST * np.log2(lags / shortest), np.float32)
    for first in range(0, len(out), piece):
        frames = framed(samples, first, min(first + piece, len(out)), hop, length)
        frames = (frames - frames.mean(1, keepdims=True)) * window
        spectrum = np.fft.rfft(frames, size)
        heights = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[:, : longest + 2]
        power = heights[:, :1]
        heights = np.divide(heights, power, out=np.zeros_like(heights), where=power > 1e-9) * (own[0] / own)
        out[first : first + len(frames)] = _peaks(heights, lags, bonus, rate)


def _peaks(heights: NDArray[np.floating], lags: NDArray[np.int64], bonus: Floats, rate: int) -> Floats:
    """The best peak of each row of autocorrelations, with parabolic interpolation: f0 and height."""
    middle = heights[:, lags]
    left, right = heights[:, lags - 1], heights[:, lags + 1]
    is_peak = (middle > left) & (middle >= right)
    best = np.where(is_peak, middle - bonus, -1).argmax(1)
    row = np.arange(len(heights))
    a, b, c = left[row, best], middle[row, best], right[row, best]
    bend = np.where(is_peak[row, best], a - 2 * b + c, -1.0)
    shift = np.clip(0.5 * (a - c) / np.minimum(bend, -1e-12), -0.5, 0.5)
    voicing = np.clip(np.where(is_peak[row, best], b - 0.25 * (a - c) * shift, 0), 0, 1)
    pitch = np.clip(rate / (lags[best] + shift), _LOW, _HIGH)
    return np.stack([np.where(voicing >= _VOICED, pitch, 0), voicing], axis=1).astype(np.float32)
