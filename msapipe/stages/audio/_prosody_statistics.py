"""Loudness-invariant statistics of speech, for the stage ``prosody`` and its training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from msapipe.stages.audio._frames import cosines, framed, hann_window, mel_bank, slopes, track_pitch

RATE = 16000  # Hz, of all sound in this module
HOP = 160  # samples from frame to frame: 10 ms
_LENGTH, _SIZE = 400, 512  # samples of the Hann window, and of the FFT
_MELS = 40
_CEPSTRA = 14
_TOP_DB = 80.0  # dynamic range of the mel spectrum below its loudest band
_SPEECH_RMS = 0.1  # root mean square to which the speech of a window is scaled
_FEW = 5  # frames: with fewer, there are no pitch statistics
_BANDS = 8  # groups of mel bands whose modulation is measured
_RATES = (0.5, 2.0, 4.0, 8.0, 16.0, 32.0)  # Hz, edges of the modulation bands
_NUCLEUS_DB = 25.0  # a syllable peak is at most this far below the loudest frame

_SPECTRAL = ("centroid", "width", "rolloff", "flatness", "alpha_ratio", "hammarberg", "slope_low", "slope_mid", "flux")
_TRACKS = (*_SPECTRAL, "zero_crossings")

# Names of all statistics, in order. Pitch is in semitones above 55 Hz, levels are in dB, rates per second.
NAMES: tuple[str, ...] = (
    *(f"mfcc_{i}_mean" for i in range(1, _CEPSTRA)),
    *(f"mfcc_{i}_std" for i in range(_CEPSTRA)),
    *(f"delta_{i}_std" for i in range(_CEPSTRA)),
    *(f"{name}_{kind}" for name in _TRACKS for kind in ("mean", "std")),
    *("pitch_mean", "pitch_std", "pitch_p10", "pitch_p50", "pitch_p90", "pitch_range"),
    *("pitch_step", "pitch_step_p10", "pitch_step_p90", "pitch_step_std"),
    *("voiced_share", "voicing_mean", "voicing_std", "voicing_voiced"),
    *("level_std", "level_p10", "level_p25", "level_p50", "level_p75", "level_p90"),
    *("level_step", "level_step_p10", "level_step_p90"),
    *("syllable_rate", "voiced_rate", "voiced_seconds", "voiced_seconds_std", "speech_density", "phrase_rate"),
    *(f"modulation_{low:g}hz_{band}" for low in _RATES[:-1] for band in range(_BANDS)),
)

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
Spans = Sequence[tuple[float, float]]


def statistics(samples: Floats, spans: Spans) -> Doubles:
    """The statistics of the speech in ``spans`` (seconds) of 16 kHz sound, one per entry of NAMES.

    NaN where nothing can be measured: pitch of a whisper, steps of a single frame. All NaN if no frame has speech or
    sound.
    """
    spoken = spoken_frames(1 + len(samples) // HOP, spans)
    square = np.square(samples[np.repeat(spoken, HOP)[: len(samples)]], dtype=np.float64)
    if not len(square) or square.mean() <= 0:
        return np.full(len(NAMES), np.nan)
    samples = samples * np.float32(_SPEECH_RMS / np.sqrt(square.mean()))
    frames = framed(samples, 0, len(spoken), HOP, _SIZE)
    spectrum = np.fft.rfft(frames * hann_window(_LENGTH, _SIZE))
    power = np.asarray(spectrum.real**2 + spectrum.imag**2, np.float32)
    inner = frames[:, (_SIZE - _LENGTH) // 2 : (_SIZE + _LENGTH) // 2]
    bands = _mel_db(power)
    level = 10 * np.log10(np.maximum(np.square(inner, dtype=np.float64).mean(1), 1e-10))
    pitch = np.zeros((len(spoken), 2), np.float32)
    track_pitch(samples, RATE, HOP, pitch, len(spoken))
    voiced = (pitch[:, 0] > 0) & spoken
    return np.concatenate(
        [
            _cepstral(bands, spoken),
            _spectral(power[spoken], inner[spoken]),
            _pitch(pitch[:, 0], voiced),
            _voicing(pitch[:, 1], voiced, spoken),
            _level(level, spoken),
            _rhythm(level, voiced, spoken, spans),
            _modulation(bands[spoken]),
        ]
    )


def spoken_frames(count: int, spans: Spans) -> Mask:
    """Which of ``count`` frames have their centre in one of the spans (seconds)."""
    middle = np.arange(count) * (HOP / RATE)
    spoken = np.zeros(count, bool)
    for start, end in spans:
        spoken |= (middle >= start) & (middle < end)
    return spoken


def _mel_db(power: Floats) -> Floats:
    bands = 10 * np.log10(np.maximum(power @ mel_bank(RATE, _SIZE, _MELS), 1e-10))
    return np.asarray(np.maximum(bands, bands.max() - _TOP_DB), np.float32)


def _cepstral(bands: Floats, spoken: Mask) -> Doubles:
    """Mean of the MFCCs except the first (loudness); standard deviation of all, and of their slopes."""
    cepstrum = np.asarray(bands @ cosines(_MELS, _CEPSTRA), np.float32)
    delta = np.zeros_like(cepstrum)
    slopes(cepstrum, delta, len(cepstrum))
    said = cepstrum[spoken].astype(np.float64)
    return np.concatenate([said.mean(0)[1:], said.std(0), delta[spoken].std(0, dtype=np.float64)])


def _spectral(power: Floats, frames: Floats) -> Doubles:
    """Mean and standard deviation of each of _TRACKS (Eyben et al., 2016: alpha ratio, Hammarberg index, slopes)."""
    hertz: Doubles = np.arange(_SIZE // 2 + 1) * np.float64(RATE / _SIZE)
    total = power.sum(1) + 1e-12
    centroid = power @ hertz / total
    width = np.sqrt(np.maximum(power @ hertz**2 / total - centroid**2, 0))
    below = np.cumsum(power, axis=1)
    rolloff = hertz[np.minimum((below < 0.85 * below[:, -1:]).sum(1), _SIZE // 2)]
    db = 10 * np.log10(power + 1e-10)
    flatness = db[:, 1:].mean(1) - 10 * np.log10(power[:, 1:].mean(1) + 1e-10)
    high = (hertz >= 1000) & (hertz < 5000)
    low = (hertz >= 50) & (hertz < 1000)
    alpha = 10 * np.log10((power[:, high].sum(1) + 1e-10) / (power[:, low].sum(1) + 1e-10))
    hammarberg = db[:, hertz < 2000].max(1) - db[:, (hertz >= 2000) & (hertz < 5000)].max(1)
    shape = np.sqrt(power)
    shape /= np.linalg.norm(shape, axis=1, keepdims=True) + 1e-9
    flux = np.linalg.norm(np.diff(shape, axis=0, prepend=shape[:1]), axis=1)
    crossings = np.diff(np.signbit(frames), axis=1).mean(1)
    tracks = (
        *(np.log(track + 50) for track in (centroid, width, rolloff)),
        *(flatness, alpha, hammarberg, _slope(db, hertz, 0, 500), _slope(db, hertz, 500, 1500), flux, crossings),
    )
    return np.array([number for track in tracks for number in (track.mean(), track.std())], np.float64)


def _slope(db: Floats, hertz: Doubles, low: float, high: float) -> Doubles:
    """Slope of each spectrum from ``low`` to ``high`` Hz, in dB per kHz."""
    inside = (hertz >= low) & (hertz < high)
    away = (hertz[inside] - hertz[inside].mean()) / 1000
    return np.asarray(db[:, inside] @ away / (away @ away), np.float64)


def _pitch(hertz: Floats, voiced: Mask) -> Doubles:
    """Distribution of the pitch and its changes from frame to frame, in semitones."""
    if voiced.sum() < _FEW:
        return np.full(10, np.nan)
    semitones = 12 * np.log2(np.maximum(hertz, 55).astype(np.float64) / 55)
    steps = np.diff(semitones)[voiced[1:] & voiced[:-1]]
    said = semitones[voiced]
    low, middle, high = np.percentile(said, [10, 50, 90])
    moves = np.full(4, np.nan)
    if len(steps):
        moves = np.array([np.abs(steps).mean(), *np.percentile(steps, [10, 90]), steps.std()])
    return np.array([said.mean(), said.std(), low, middle, high, high - low, *moves])


def _voicing(height: Floats, voiced: Mask, spoken: Mask) -> Doubles:
    said = height[spoken].astype(np.float64)
    clear = height[voiced].mean(dtype=np.float64) if voiced.any() else np.nan
    return np.array([voiced.sum() / spoken.sum(), said.mean(), said.std(), clear])


def _level(level: Doubles, spoken: Mask) -> Doubles:
    """Distribution of the level below the loudest frame, and its changes from frame to frame, in dB."""
    said = level[spoken]
    steps = np.diff(level)[spoken[1:]]
    moves = np.full(3, np.nan)
    if len(steps):
        moves = np.array([np.abs(steps).mean(), *np.percentile(steps, [10, 90])])
    return np.array([said.std(), *(np.percentile(said, [10, 25, 50, 75, 90]) - said.max()), *moves])


def _rhythm(level: Doubles, voiced: Mask, spoken: Mask, spans: Spans) -> Doubles:
    """Level peaks and voiced segments per second of speech; share of speech between its first and last frame."""
    seconds = spoken.sum() * HOP / RATE
    hann = hann_window(11, 11)
    smooth = np.convolve(np.pad(level, 5, "edge"), hann / hann.sum(), "valid")
    middle = smooth[1:-1]
    peak = (middle > smooth[:-2]) & (middle >= smooth[2:]) & spoken[1:-1]
    peaks = (peak & (middle > level[spoken].max() - _NUCLEUS_DB)).sum()
    edges = np.diff(voiced.astype(np.int8), prepend=0, append=0)
    stretches = (np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)) * (HOP / RATE)
    lengths = (stretches.mean(), stretches.std()) if len(stretches) else (np.nan, np.nan)
    extent = max(spans[-1][1] - spans[0][0], seconds)
    return np.array([peaks / seconds, len(stretches) / seconds, *lengths, seconds / extent, len(spans) / extent])


def _modulation(bands: Floats) -> Doubles:
    """Modulation spectrum of each group of mel bands: dB of its total modulation, per modulation band."""
    groups = bands.reshape(len(bands), _BANDS, -1).mean(2, dtype=np.float64)
    size = max(512, 1 << (len(bands) - 1).bit_length())
    moving = (groups - groups.mean(0)) * np.hanning(len(bands) + 2)[1:-1, None]
    power = np.abs(np.fft.rfft(moving, size, axis=0)) ** 2
    hertz = np.arange(len(power)) * (RATE / HOP / size)
    total = power[hertz >= _RATES[0]].sum(0) + 1e-9
    shares = [power[(hertz >= low) & (hertz < high)].sum(0) / total for low, high in pairwise(_RATES)]
    return np.asarray(10 * np.log10(np.concatenate(shares) + 1e-4), np.float64)
