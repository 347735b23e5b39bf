"""Emotion of the voice: angry, happy, neutral or sad, valence and arousal, learned from acted German."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from msapipe.stages._base import Stage
from msapipe.stages._neutral import centred
from msapipe.stages._speech import SILERO, SpeechDetector, at_16k
from msapipe.stages.audio._prosody_classifier import EMOTIONS, VoiceClassifier, arousal, valence
from msapipe.stages.audio._prosody_statistics import NAMES as STATISTICS
from msapipe.stages.audio._prosody_windows import SILENCE, SpeechWindow, speech_windows
from msapipe.types import FeatureSequence, Waveform
from msapipe.types.sound import let_go, peak_of
from msapipe.weights import Bundled, Weights

_VOICE = Bundled(
    name="pocket_voice",
    file="voice.safetensors",
    sha256="8f012b18d0a3e62fa90e54d2003d417c053327bbd7e65ae644c4a8bf78f20cae",
    bytes=221284,
    licence="Apache-2.0",
    source="models/pocket_voice/train.py, from EMO-DB (Burkhardt et al., 2005)",
)

# Median of happy minus angry and sad over films of eleven people who speak neutrally.
NEUTRAL = -0.24

# Statistics of the window that become columns, and their column names.
_SHOWN = {
    "pitch_p50": "pitch_semitones",
    "pitch_range": "pitch_range",
    "voiced_share": "voiced",
    "syllable_rate": "syllable_rate",
    "alpha_ratio_mean": "alpha_ratio",
}
_PLACES = [STATISTICS.index(name) for name in _SHOWN]

NAMES = (*EMOTIONS, "valence", "arousal", "speech", *_SHOWN.values())


@dataclass
class Prosody(Stage):
    """The emotion that a voice expresses, one row per ``window`` seconds of sound: (T, 12).

    Sound is cut into equal windows of about ``window`` seconds (up to 1.5 times that is one row). From the speech in
    each window, found by Silero VAD, 130 statistics of cepstrum, spectrum, pitch, level, rhythm and modulation are
    computed at 16 kHz, all invariant to loudness; a support vector machine with a softmax classifies them.

    Columns: angry, happy, neutral, sad (probabilities, sum 1, as if all four were equally frequent); valence,
    P(happy) - P(angry) - P(sad), centred on people who talk neutrally, in [-1, 1], 0 is neutral; arousal,
    P(angry) + P(happy) - P(neutral) - P(sad) in [-1, 1]; speech (share of the window, (0, 1]); pitch_semitones (median
    f0, above 55 Hz, 5...38, 0 where nothing is voiced) and pitch_range (its 10th to 90th percentile, semitones); voiced
    (share of the speech); syllable_rate (peaks of the level a second of speech, 0...20); alpha_ratio (level of 1-5 kHz
    over that of 50 Hz-1 kHz, dB, about -30...10).

    valid: at least 0.2 s of speech in the window. A note says if there is sound but no speech at all.

    Accuracy on spontaneous speech, or in any language but German, is unknown: it was trained on 269 sentences
    spoken by eight German actors (Burkhardt et al., "A Database of German Emotional Speech", 2005). There, arousal is
    fairly reliable, anger versus happiness is not; see models/pocket_voice/README.md. Not for judging people.
    """

    version: ClassVar[int] = 2
    weights: ClassVar[tuple[Weights, ...]] = (SILERO, _VOICE)

    window: float = 5.0

    def __post_init__(self) -> None:
        self.require(1 <= self.window <= 30, f"window {self.window} must lie between 1 and 30 (seconds)")

    def load(self, device: str) -> None:
        """Read the speech detector and the classifier."""
        self._detector = SpeechDetector()
        self._classifier = VoiceClassifier.read(_VOICE.path())

    def run(self, waveform: Waveform) -> FeatureSequence:
        """Sound of any length and sampling rate to (T, 12)."""
        samples = at_16k(waveform)
        windows = speech_windows(samples, self._detector, self.window)
        values = np.zeros((len(windows), len(NAMES)), np.float32)
        valid = np.array([window.has_speech for window in windows], bool)
        for row in np.flatnonzero(valid):
            values[row] = self._judged(windows[row])
            let_go(samples)
        times = np.array([(window.start, window.end) for window in windows], np.float64).reshape(-1, 2)
        unspoken = not valid.any() and peak_of(samples) >= SILENCE
        notes = ("no speech heard: there is sound, but nothing is said of a voice",) if unspoken else ()
        return FeatureSequence(values, np.minimum(times, waveform.seconds), valid, NAMES, notes=notes)

    def _judged(self, window: SpeechWindow) -> NDArray[np.float64]:
        """The row of a window with speech: (12,)."""
        statistics = window.statistics()
        said = self._classifier.probabilities(statistics[None])
        share = window.speech / (window.end - window.start)
        shown = np.nan_to_num(statistics[_PLACES])
        return np.concatenate([said[0], centred(valence(said), NEUTRAL), arousal(said), [min(share, 1.0)], shown])
