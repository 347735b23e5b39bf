"""MFCCs with deltas, energy, pitch and voicing, 100 rows a second (no weights)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msapipe.stages._base import Stage
from msapipe.stages.audio._frames import cosines, framed, hann_window, mel_bank, slopes, track_pitch
from msapipe.types import FeatureSequence, Waveform

_ROWS = 2048  # rows framed at once, to bound memory to about 10 MB
_MOST_KEPT = 200_000  # rows whose mel bands are kept (50 MB): half an hour
_TOP_DB = 80.0  # dynamic range of the mel spectrum below the clip's loudest band, librosa's default

Floats = NDArray[np.float32]


@dataclass
class MFCC(Stage):
    """Mel-frequency cepstral coefficients and prosody of the sound: (T, 83) with the defaults, one row every 10 ms.

    Davis and Mermelstein (1980); equals librosa 0.11 (Slaney mel, Hann window of ``window`` seconds in an FFT of the
    next power of two, ``center=True``, 80 dB range, orthonormal DCT) within 1e-4. Row i is centred on i * hop, as in
    librosa, and covers [i * hop, (i + 1) * hop), cut at the end of the sound; librosa's last row is dropped if it
    begins at the very end.

    Columns: mfcc_0... (``n_mfcc``; dB, orthonormal DCT: mfcc_0 about -500...300, the rest about -150...150);
    delta_0... (``deltas``; the slope of each per row over 9 rows, or fewer in a shorter sound);
    energy_db (``energy``; mean square over the window in dB of full scale, from ``floor_db`` to 0);
    pitch_hz and voicing (``pitch``; f0 in 75...500 Hz by normalised autocorrelation after Boersma (1993), 0 where
    voicing is below 0.45; voicing is the height of the peak in [0, 1]).

    valid: the window's energy is at least ``floor_db`` dB of full scale. A pause with room noise is valid, digital
    silence is not.
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
        self.require(
            1 <= self.n_mfcc <= self.n_mels <= 256,
            f"n_mfcc {self.n_mfcc} and n_mels {self.n_mels} must keep 1 <= n_mfcc <= n_mels <= 256",
        )
        self.require(
            0.001 <= self.hop <= self.window <= 1,
            f"hop {self.hop} and window {self.window} must keep 0.001 <= hop <= window <= 1 (seconds)",
        )
        self.require(
            -120 <= self.floor_db <= 0, f"floor_db {self.floor_db} must lie between -120 and 0 (dB of full scale)"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Column names."""
        names = [f"mfcc_{i}" for i in range(self.n_mfcc)]
        names += [f"delta_{i}" for i in range(self.n_mfcc)] if self.deltas else []
        names += ["energy_db"] if self.energy else []
        names += ["pitch_hz", "voicing"] if self.pitch else []
        return tuple(names)

    def run(self, waveform: Waveform) -> FeatureSequence:
        """Sound of any length and sampling rate to (T, D), T = ceil(seconds / hop)."""
        samples, rate = waveform.samples, waveform.rate
        hop = max(1, round(self.hop * rate))
        rows = -(-len(samples) // hop)
        starts = np.arange(rows) * (hop / rate)
        times = np.stack([starts, np.minimum(starts + hop / rate, waveform.seconds)], axis=1)
        if not rows:
            return FeatureSequence(np.zeros((0, len(self.names)), np.float32), times, np.zeros(0, bool), self.names)
        # librosa's last row may begin at the very end: it is dropped, but the slopes before it depend on it.
        values = np.zeros((1 + len(samples) // hop, len(self.names)), np.float32)
        self._cepstrum(samples, rate, hop, values[:, : self.n_mfcc])
        if self.deltas:
            slopes(values[:, : self.n_mfcc], values[:, self.n_mfcc : 2 * self.n_mfcc], _ROWS)
        energy = self._energy(samples, rate, hop)
        if self.energy:
            values[:, self.names.index("energy_db")] = np.clip(energy, self.floor_db, 0)
        if self.pitch:
            track_pitch(samples, rate, hop, values[:, -2:], _ROWS // 4)
        valid = energy[:rows] >= self.floor_db
        values = values[:rows]
        values[~valid] = 0
        return FeatureSequence(values, times, valid, self.names)

    def _cepstrum(self, samples: Floats, rate: int, hop: int, out: Floats) -> None:
        """As librosa.feature.mfcc, into (1 + N // hop, n_mfcc)."""
        length = max(2, round(self.window * rate))
        size = 1 << (length - 1).bit_length()
        window, bank = hann_window(length, size), mel_bank(rate, size, self.n_mels)

        def bands(first: int) -> Floats:
            frames = framed(samples, first, min(first + _ROWS, len(out)), hop, size)
            spectrum = np.fft.rfft(frames * window)
            power = spectrum.real**2 + spectrum.imag**2
            return np.asarray(10 * np.log10(np.maximum(power @ bank, 1e-10)), np.float32)

        pieces = range(0, len(out), _ROWS)
        # Of a long sound, they are computed twice: they would take more room than the result.
        kept = {first: bands(first) for first in pieces} if len(out) <= _MOST_KEPT else {}
        floor = max((kept[first] if kept else bands(first)).max() for first in pieces) - _TOP_DB
        matrix = cosines(self.n_mels, self.n_mfcc)
        for first in pieces:
            out[first : first + _ROWS] = np.maximum(kept[first] if kept else bands(first), floor) @ matrix

    def _energy(self, samples: Floats, rate: int, hop: int) -> Floats:
        """Mean square over the window in dB of full scale, at least -120: (1 + N // hop,)."""
        length = max(2, round(self.window * rate))
        out = np.empty(1 + len(samples) // hop, np.float32)
        for first in range(0, len(out), _ROWS):
            frames = framed(samples, first, min(first + _ROWS, len(out)), hop, length)
            square = np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / length
            out[first : first + _ROWS] = 10 * np.log10(np.maximum(square, 1e-12))
        return out
