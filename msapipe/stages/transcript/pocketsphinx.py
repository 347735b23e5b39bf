"""English speech recognition without a network or GPU: pocketsphinx behind Silero VAD (weights in the wheels)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from msapipe.stages._base import Stage
from msapipe.stages._pocketsphinx import RECOGNITION, SphinxDecoder, hear_stretches, utterances
from msapipe.stages._speech import SILERO, SpeechDetector, at_16k
from msapipe.types import Transcript, Waveform, Word
from msapipe.weights import Weights


@dataclass
class Pocketsphinx(Stage):
    """The English words in the sound, as a Transcript with start and end in seconds and confidence in [0, 1].

    Huggins-Daines et al. (2006), pocketsphinx 5 with the en-us model and language model of its wheel, on the stretches
    where Silero VAD detects speech (probability at least ``speech``), so silence, tones and noise give a Transcript
    without words. Never None. Language "en", source "pocketsphinx".

    max_states: states kept per frame of 10 ms; fewer is faster and less accurate. warp: factor on the frequencies of
    the sound (vocal tract length), 0.8 to 1.25. pad: seconds of sound added around speech. longest: seconds of speech
    decoded as one utterance, without its pauses.
    """

    weights: ClassVar[tuple[Weights, ...]] = (SILERO, *RECOGNITION)

    speech: float = 0.5
    max_states: int = 3000
    warp: float = 1.08
    pad: float = 0.2
    longest: float = 20.0

    def __post_init__(self) -> None:
        self.require(0 < self.speech < 1, f"speech {self.speech} must lie between 0 and 1")
        self.require(100 <= self.max_states <= 100_000, f"max_states {self.max_states} must lie between 100 and 100000")
        self.require(0.8 <= self.warp <= 1.25, f"warp {self.warp} must lie between 0.8 and 1.25")
        self.require(
            0 <= self.pad <= 0.4 and 1 <= self.longest <= 120,
            f"pad {self.pad} and longest {self.longest} must keep 0 <= pad <= 0.4 and 1 <= longest <= 120 (seconds)",
        )

    def load(self, device: str) -> None:
        """Open the detector and the decoder; both run on the CPU."""
        self._detector = SpeechDetector()
        self._decoder = SphinxDecoder(language_model=True, warp=self.warp, maxhmmpf=self.max_states)

    def run(self, waveform: Waveform) -> Transcript:
        """The words spoken in the sound."""
        samples = at_16k(waveform)
        spans = self._detector.spans(samples, self.speech)
        words: list[Word] = []
        for stretches in utterances(spans, self.pad, self.longest):
            words += [
                Word(heard.text, heard.start, heard.end, heard.confidence)
                for heard in hear_stretches(self._decoder, samples, stretches)
                if any(heard.start < end and heard.end > start for start, end in spans)
            ]
        return Transcript(tuple(words), "en", "pocketsphinx", recognised=True)
