"""A voice for the clips: eSpeak NG through ctypes, and the mouth opening that follows its sound.

The PyPI package `espeakng-loader` brings the library and its data, so nothing has to be installed beside it.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import espeakng_loader
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]

RATE = 22050  # eSpeak NG's own sampling rate; there is nothing above 11 kHz in it to lose
EDGE_SECONDS = 0.3  # silence before and after the words
PEAK = 0.5  # gentle: 6 dB below full scale

_SYNCHRONOUS = 2  # the library hands the samples to a callback instead of a sound card
_UTF8 = 1
_SPEED, _PITCH, _RANGE, _WORD_GAP = 1, 3, 4, 7  # espeak_PARAMETER
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Voice:
    """One of eSpeak NG's voices, `language+variant`, and how it speaks."""

    name: str
    words_per_minute: int = 150
    pitch: int = 50
    pitch_range: int = 50
    word_gap: int = 0  # extra pause between words, in units of 10 ms


class Synthesiser:
    """The library, opened once. It keeps global state, so there is to be one of these in a process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
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

    def speak(self, text: str, voice: Voice) -> Samples:
        """The words as mono samples, with silence at both ends."""
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise ValueError(f"eSpeak NG has no voice {voice.name!r}")
        settings = {
            _SPEED: voice.words_per_minute,
            _PITCH: voice.pitch,
            _RANGE: voice.pitch_range,
            _WORD_GAP: voice.word_gap,
        }
        for parameter, value in settings.items():
            self._library.espeak_SetParameter(parameter, value, 0)
        self._blocks.clear()
        encoded = text.encode()
        self._library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        return _dressed(np.concatenate(self._blocks).astype(np.float32))


def _dressed(samples: Samples) -> Samples:
    """Cut the library's own silence off, level the sound and put the clips' silence at both ends."""
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    words = samples[loud[0] : loud[-1] + 1]
    words = words * (PEAK / np.abs(words).max())
    edge = np.zeros(round(EDGE_SECONDS * RATE), np.float32)
    return np.concatenate([edge, words, edge]).astype(np.float32)
