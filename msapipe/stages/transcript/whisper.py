"""Speech recognition in 99 languages: Whisper behind Silero VAD, with word times (GPU or CPU)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from msapipe.errors import RecipeError
from msapipe.stages._base import CheckpointStage
from msapipe.stages._speech import SILERO, SpeechDetector, at_16k
from msapipe.stages.transcript._whisper_model import Recogniser
from msapipe.stages.transcript._whisper_windows import LONGEST, PAUSE, Window, into_speech, windows
from msapipe.stages.transcript._whisper_words import UNSPACED, without_loops, words_of
from msapipe.types import Transcript, Waveform, Word
from msapipe.weights import Checkpoint, Weights

_SILENT = 2.0  # seconds of speech behind the last word from which on a note says so


def _openai(size: str, revision: str, licence: str = "Apache-2.0") -> Checkpoint:
    name = f"openai/whisper-{size}"
    return Checkpoint(name=name, revision=revision, licence=licence, source=f"hub {name}")


@dataclass
class Whisper(CheckpointStage):
    """The words in the sound, with punctuation, as a Transcript with start and end in seconds, confidence in [0, 1].

    Radford et al. (2023), "Robust Speech Recognition via Large-Scale Weak Supervision". Greedy and without chance, one
    window after the other, none with the text of another before it. Source "whisper".

    Windows: stretches with speech by Silero VAD (probability at least ``speech``), of at most 28 s, cut in pauses, and
    where nobody pauses for so long, at the quietest place; a note says so. Silence of 3 s and more is not heard. None
    when Silero hears no speech: the next source is asked. No words when Whisper finds none in the speech.

    Times: from cross-attention by dynamic time warping, to 20 ms, cut to where Silero hears speech (give or take
    0.1 s). A checkpoint whose generation_config.json names no alignment heads gives times of phrases only: they are
    shared out by letters, marked as estimated, and a note says so.
    Confidence: mean probability of the tokens of a word.
    Words: what stands between spaces; in Chinese, Cantonese, Japanese, Thai, Lao and Burmese every piece of the
    tokenizer, mostly one character, sometimes a few. Words without end are a known fault of Whisper: five and more
    equal phrases in a row, twelve words and more in all, are kept once, and a note says so.

    language: a code such as en or zh; "" has Whisper detect one for the whole clip, in the window with most speech.
    """

    on_device: ClassVar[bool] = True
    weights: ClassVar[tuple[Weights, ...]] = (
        _openai("tiny", "169d4a4341b33bc18d8881c4b69c2e104e1cc0af"),
        _openai("base", "e37978b90ca9030d5170a5c07aadb050351a65bb"),
        _openai("small", "973afd24965f72e36ca33b3055d56a652f456b4d"),
        _openai("large-v3-turbo", "41f01f3fe87f28c78e2fbf8b568835947dd65ed9", licence="MIT"),
    )

    checkpoint: str = "openai/whisper-small"
    language: str = ""
    speech: float = 0.5

    def __post_init__(self) -> None:
        if self.language and not re.fullmatch(r"[a-z]{2,3}", self.language):
            raise RecipeError(f"whisper: language {self.language!r} must be a code such as en or zh, or empty")
        if not 0 < self.speech < 1:
            raise RecipeError(f"whisper: speech {self.speech} must lie between 0 and 1")

    def own_weights(self) -> tuple[Weights, ...]:
        """The checkpoint that is named, and Silero VAD."""
        return (*super().own_weights(), SILERO)

    def load(self, device: str) -> None:
        """Read the checkpoint; raises RecipeError for a language that it does not know."""
        self._detector = SpeechDetector()
        self._recogniser = Recogniser(self.own_weights()[0].path(), device)
        if self.language:
            self._recogniser.check_language(self.language)

    def run(self, waveform: Waveform) -> Transcript | None:
        """What is said in the sound, or None when nobody speaks."""
        samples = at_16k(waveform)
        spans = self._detector.spans(samples, self.speech)
        if not spans:
            return None
        found, cuts = windows(spans, samples)
        recogniser = self._recogniser
        fullest = max(found, key=lambda window: window.spoken)
        encoded = recogniser.encode(fullest.cut(samples))
        language = self.language or recogniser.language(encoded)
        words: list[Word] = []
        notes = _window_notes(len(found), cuts)
        if not recogniser.aligns:
            notes.append("whisper: the checkpoint names no alignment heads: times of words are estimated")
        for window in found:
            sound = encoded if window is fullest else recogniser.encode(window.cut(samples))
            segments, finished = recogniser.hear(sound, language)
            heard = [word for segment in segments for word in words_of(segment, recogniser.decode, _spaced(language))]
            kept, dropped = without_loops(heard)
            placed = into_speech(kept, window)
            notes += _text_notes(window, placed, finished, dropped)
            words += placed
        return Transcript(tuple(words), language, "whisper", tuple(notes), recognised=True)


def _spaced(language: str) -> bool:
    return language not in UNSPACED


def _window_notes(count: int, cuts: int) -> list[str]:
    notes = []
    if count > 1:
        notes.append(
            f"whisper: heard in {count} windows of at most {LONGEST:.0f} s; silence of {PAUSE:.0f} s and more was not"
        )
    if cuts:
        notes.append(f"whisper: nobody paused for {LONGEST:.0f} s: {cuts} cuts through speech may halve a word")
    return notes


def _text_notes(window: Window, words: list[Word], finished: bool, dropped: int) -> list[str]:
    last = words[-1].end or 0.0 if words else window.start
    silent = sum(end - max(start, last) for start, end in window.speech if end > last)
    where = f"from {window.start:.1f} to {window.end:.1f} s"
    notes = []
    if dropped:
        notes.append(f"whisper: {where}: {dropped} words of a loop were left out")
    if not finished:
        notes.append(f"whisper: {where}: the text came to no end and was cut off")
    if silent > _SILENT:
        notes.append(f"whisper: {where}: the last {silent:.1f} s of speech gave no words")
    return notes
