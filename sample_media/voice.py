"""A voice for the clips: eSpeak NG through ctypes, and the mouth opening that follows its sound.

The PyPI package `espeakng-loader` brings the library and its data, so nothing has to be installed beside it.
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import espeakng_loader
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]

RATE = 22050  # eSpeak NG's own sampling rate; there is nothing above 11 kHz in it to lose
EDGE_SECONDS = 0.3  # silence before and after the words
PAUSE_SECONDS = 0.25  # between two sentences
MOUTH_SECONDS = 0.12  # a mouth is slower than a voice: its opening is smoothed over this long
PEAK = 0.5  # gentle: 6 dB below full scale

_SYNCHRONOUS = 2  # the library hands the samples to a callback instead of a sound card
_UTF8 = 1
_SPEED, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Voice:
    """One of eSpeak NG's voices, `language+variant`, and how it speaks."""

    name: str
    words_per_minute: int = 150
    pitch: int = 50
    pitch_range: int = 50
    seed: int = 1  # of the breath and the flutter; the library would take the clock


@dataclass(frozen=True)
class Cue:
    """One sentence and when it is spoken, in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Speech:
    """Sound, and when each sentence is in it."""

    samples: Samples
    cues: tuple[Cue, ...] = ()

    @property
    def seconds(self) -> float:
        """With the silence at the ends."""
        return len(self.samples) / RATE


class Synthesiser:
    """The library, in a state of its own.

    It remembers something of what it said before, so a clip would sound a little different if the one before
    it were changed. A copy of the file is another library to the loader, and starts afresh.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copy(espeakng_loader.get_library_path(), folder)
            self._library = ctypes.CDLL(copy)
        data = espeakng_loader.get_data_path().encode()
        if self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0) != RATE:
            raise RuntimeError("eSpeak NG did not start at the expected sampling rate")
        self._blocks: list[npt.NDArray[np.int16]] = []
        self._callback = _CALLBACK(self._receive)  # kept: ctypes does not hold a reference
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: int | None) -> int:
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, shape=(count,)).astype(np.int16))
        return 0  # go on

    def speak(self, sentences: Sequence[str], voice: Voice) -> Speech:
        """The sentences one after the other, levelled, with silence at both ends."""
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise ValueError(f"eSpeak NG has no voice {voice.name!r}")
        self._library.espeak_SetParameter(_SPEED, voice.words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        self._library.espeak_SetParameter(_RANGE, voice.pitch_range, 0)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(voice.seed))
        pieces, cues, now = [_silence(EDGE_SECONDS)], [], EDGE_SECONDS
        for number, sentence in enumerate(sentences):
            if number:
                pieces.append(_silence(PAUSE_SECONDS))
                now += PAUSE_SECONDS
            pieces.append(_trimmed(self._synthesise(sentence)))
            seconds = len(pieces[-1]) / RATE
            cues.append(Cue(now, now + seconds, sentence))
            now += seconds
        pieces.append(_silence(EDGE_SECONDS))
        samples = np.concatenate(pieces)
        return Speech(samples * np.float32(PEAK / np.abs(samples).max()), tuple(cues))

    def _synthesise(self, sentence: str) -> Samples:
        self._blocks.clear()
        text = sentence.encode()
        self._library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(self._blocks).astype(np.float32) / np.float32(32768)


def _silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def _trimmed(samples: Samples) -> Samples:
    """Without the pause that the library leaves after a sentence."""
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def opening(samples: Samples) -> Curve:
    """How far the mouth is open, 0 to 1, at every sample.

    It follows the energy where the first formant lies: vowels open the mouth, an s or an f hardly does.
    """
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    band = np.fft.irfft(np.where((hertz > 250) & (hertz < 1300), spectrum, 0), len(samples))
    window = np.hanning(round(MOUTH_SECONDS * RATE))
    energy = np.convolve(band**2, window / window.sum(), mode="same").clip(0)
    loudness = np.sqrt(energy)
    loudest = np.percentile(loudness, 97)
    return np.clip(loudness / loudest, 0, 1) ** 0.8 if loudest > 0 else np.zeros(len(samples))
