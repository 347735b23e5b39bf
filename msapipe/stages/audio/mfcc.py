"""MFCCs with deltas, energy, pitch and voicing, 100 rows a second (no weights)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import RecipeError
from msapipe.stages._base import Stage
from msapipe.types import FeatureSequence, Waveform

_ROWS = 2048  # rows that are framed at once: bounds memory to some 10 MB
_DELTA_WIDTH = 9  # rows, librosa's default
_TOP_DB = 80.0  # the mel spectrum's range below the clip's loudest band, librosa's default
_LOW, _HIGH = 75.0, 500.0  # Hz, the range of pitch: speech of men, women and children
_PITCH_WINDOW = 0.040  # seconds: three periods of the lowest pitch
_VOICED = 0.45  # height of the autocorrelation's peak from which a row counts as voiced, as in Praat
_OCTAVE_COST = 0.01  # per octave below _HIGH: of equally high peaks the highest pitch wins, as in Praat

Floats = NDArray[np.float32]


@dataclass
class MFCC(Stage):
    """Mel-frequency cepstrum and prosody of the sound: (T, 83) with the defaults, one row every 10 ms.

    Davis and Mermelstein (1980); the numbers are those of librosa 0.11 (Slaney mel, Hann window of ``window`` seconds
    in an FFT of the next power of two, ``center=True``, 80 dB range, orthonormal DCT) within 1e-4. Row i is centred on
    i * hop, as librosa does it, and stands for [i * hop, (i + 1) * hop), cut at the end of the sound; librosa's last
    row is dropped where it begins at the very end.

    Columns: mfcc_0... (``n_mfcc``; dB, orthonormal DCT: mfcc_0 about -500...300, the rest about -150...150);
    delta_0... (``deltas``; the slope of each per row over 9 rows, fewer in a sound that is shorter);
    energy_db (``energy``; mean square over the window in dB of full scale, from ``floor_db`` to 0);
    pitch_hz and voicing (``pitch``; f0 in 75...500 Hz by normalised autocorrelation after Boersma (1993), 0 where
    voicing lies under 0.45; voicing is the height of the peak in [0, 1]).

    valid: there is sound, that is, the window's energy is at least ``floor_db`` dB of full scale. A pause with room
    noise is valid, digital silence is not.
    """

    n_mfcc: int = 40
    n_mels: int = 64
    window: float = 0.025
    hop: float = 0.010
    deltas: bool = True
    energy: bool = True
    pitch: bool = True
    floor_db: float = -60.0

    def __post_init__(self) -> None:
        if not 1 <= self.n_mfcc <= self.n_mels <= 256:
            raise RecipeError(
                f"mfcc: n_mfcc {self.n_mfcc} and n_mels {self.n_mels} must keep 1 <= n_mfcc <= n_mels <= 256"
            )
        if not 0.001 <= self.hop <= self.window <= 1:
            raise RecipeError(
                f"mfcc: hop {self.hop} and window {self.window} must keep 0.001 <= hop <= window <= 1 (seconds)"
            )
        if not -120 <= self.floor_db <= 0:
            raise RecipeError(f"mfcc: floor_db {self.floor_db} must lie between -120 and 0 (dB of full scale)")

    @property
    def names(self) -> tuple[str, ...]:
        """What each column is called."""
        names = [f"mfcc_{i}" for i in range(self.n_mfcc)]
        names += [f"delta_{i}" for i in range(self.n_mfcc)] if self.deltas else []
        names += ["energy_db"] if self.energy else []
        names += ["pitch_hz", "voicing"] if self.pitch else []
        return tuple(names)

    def run(self, waveform: Waveform) -> FeatureSequence:
        """Sound of any length and rate to (T, D), T = ceil(seconds / hop)."""
        samples, rate = waveform.samples, waveform.rate
        hop = max(1, round(self.hop * rate))
        rows = -(-len(samples) // hop)
        starts = np.arange(rows) * (hop / rate)
        times = np.stack([starts, np.minimum(starts + hop / rate, waveform.seconds)], axis=1)
        if not rows:
            return FeatureSequence(np.zeros((0, len(self.names)), np.float32), times, np.zeros(0, bool), self.names)
        # librosa's last row may begin at the very end: it is dropped, but the slopes before it are made of it.
        values = np.zeros((1 + len(samples) // hop, len(self.names)), np.float32)
        self._cepstrum(samples, rate, hop, values[:, : self.n_mfcc])
        if self.deltas:
            _slopes(values[:, : self.n_mfcc], values[:, self.n_mfcc : 2 * self.n_mfcc])
        energy = self._energy(samples, rate, hop)
        if self.energy:
            values[:, self.names.index("energy_db")] = np.clip(energy, self.floor_db, 0)
        if self.pitch:
            _pitch(samples, rate, hop, values[:, -2:])
        valid = energy[:rows] >= self.floor_db
        values = values[:rows]
        values[~valid] = 0
        return FeatureSequence(values, times, valid, self.names)

    def _cepstrum(self, samples: Floats, rate: int, hop: int, out: Floats) -> None:
        """As librosa.feature.mfcc, into (1 + N // hop, n_mfcc)."""
        length = max(2, round(self.window * rate))
        size = 1 << (length - 1).bit_length()
        window, bank = _window(length, size), _mel_bank(rate, size, self.n_mels)
        bands = np.empty((len(out), self.n_mels), np.float32)
        for first in range(0, len(bands), _ROWS):
            frames = _frames(samples, first, min(first + _ROWS, len(bands)), hop, size)
            spectrum = np.fft.rfft(frames * window)
            power = spectrum.real**2 + spectrum.imag**2
            bands[first : first + _ROWS] = 10 * np.log10(np.maximum(power @ bank, 1e-10))
        np.maximum(bands, bands.max() - _TOP_DB, out=bands)
        matrix = _cosines(self.n_mels, self.n_mfcc)
        for first in range(0, len(bands), _ROWS):
            out[first : first + _ROWS] = bands[first : first + _ROWS] @ matrix

    def _energy(self, samples: Floats, rate: int, hop: int) -> Floats:
        """Mean square over the window in dB of full scale, -120 at least: (1 + N // hop,)."""
        length = max(2, round(self.window * rate))
        out = np.empty(1 + len(samples) // hop, np.float32)
        for first in range(0, len(out), _ROWS):
            frames = _frames(samples, first, min(first + _ROWS, len(out)), hop, length)
            square = np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / length
            out[first : first + _ROWS] = 10 * np.log10(np.maximum(square, 1e-12))
        return out


def _frames(samples: Floats, first: int, last: int, hop: int, size: int) -> Floats:
    """Rows ``first`` to ``last``, each ``size`` samples centred on row * hop, zero beyond the sound."""
    start = first * hop - size // 2
    stop = (last - 1) * hop - size // 2 + size
    piece = samples[max(start, 0) : max(stop, 0)]
    padded = np.zeros(stop - start, np.float32)
    padded[max(-start, 0) : max(-start, 0) + len(piece)] = piece
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]


@lru_cache(maxsize=8)
def _window(length: int, size: int) -> Floats:
    """A periodic Hann window of ``length`` samples in the middle of ``size``."""
    window = np.zeros(size, np.float32)
    left = (size - length) // 2
    window[left : left + length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    return window


@lru_cache(maxsize=8)
def _mel_bank(rate: int, size: int, n_mels: int) -> Floats:
    """Slaney's triangles of equal area from 0 Hz to half the rate: (size // 2 + 1, n_mels)."""
    step, corner = 200 / 3, 1000.0  # Hz a mel below the corner; logarithmic above
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
def _cosines(n_in: int, n_out: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II: (n_in, n_out); in float64, for mfcc_0 is a sum of 64 numbers about -100."""
    angles = np.pi / n_in * (np.arange(n_in)[:, None] + 0.5) * np.arange(n_out)[None, :]
    matrix = np.cos(angles) * np.sqrt(2 / n_in)
    matrix[:, 0] /= np.sqrt(2)
    return np.asarray(matrix, np.float64)


def _slopes(rows: Floats, out: Floats) -> None:
    """The slope of the line through 9 rows around each, as librosa.feature.delta; at the ends, of the outermost 9.

    A shorter sound has the line through as many rows as there are, an odd number; one or two rows have slope 0.
    """
    half = (min(_DELTA_WIDTH, len(rows) - 1 + len(rows) % 2) - 1) // 2
    if half < 1:
        return
    norm = 2 * sum(offset**2 for offset in range(1, half + 1))
    stop = len(rows) - half
    for first in range(half, stop, _ROWS):
        last = min(first + _ROWS, stop)
        slope = sum(
            offset * (rows[first + offset : last + offset] - rows[first - offset : last - offset])
            for offset in range(1, half + 1)
        )
        out[first:last] = slope / norm
    out[:half] = out[half]
    out[stop:] = out[stop - 1]


def _pitch(samples: Floats, rate: int, hop: int, out: Floats) -> None:
    """f0 in Hz, 0 where unvoiced, and voicing in [0, 1], into (1 + N // hop, 2)."""
    length = round(_PITCH_WINDOW * rate)
    shortest, longest = int(rate / _HIGH), int(np.ceil(rate / _LOW))
    if shortest < 2:  # too few samples a second to tell a pitch
        return
    size = 1 << (length + longest).bit_length()
    window = _window(length, length)
    own = np.fft.irfft(np.abs(np.fft.rfft(window.astype(np.float64), size)) ** 2, size)[: longest + 2]
    lags = np.arange(shortest, longest + 1)
    bonus = np.asarray(_OCTAVE_COST * np.log2(lags / shortest), np.float32)
    for first in range(0, len(out), _ROWS // 4):
        frames = _frames(samples, first, min(first + _ROWS // 4, len(out)), hop, length)
        frames = (frames - frames.mean(1, keepdims=True)) * window
        spectrum = np.fft.rfft(frames, size)
        heights = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[:, : longest + 2]
        power = heights[:, :1]
        heights = np.divide(heights, power, out=np.zeros_like(heights), where=power > 1e-9) * (own[0] / own)
        out[first : first + len(frames)] = _peaks(heights, lags, bonus, rate)


def _peaks(heights: NDArray[np.floating], lags: NDArray[np.int64], bonus: Floats, rate: int) -> Floats:
    """The best peak of each row of autocorrelations, between samples by a parabola: f0 and height."""
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
