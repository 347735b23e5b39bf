"""Word times by forced alignment of English words with the sound: pocketsphinx, no network or GPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from msapipe.stages._base import Stage
from msapipe.stages._pocketsphinx import ACOUSTIC, Heard, SphinxDecoder
from msapipe.stages._speech import SILERO, SpeechDetector, at_16k
from msapipe.stages._spread import fill_gaps
from msapipe.stages.words._pronounceable import pronounceable
from msapipe.types import Transcript, Waveform, Word
from msapipe.weights import Weights


@dataclass
class Pocketsphinx(Stage):
    """The Transcript with the times (seconds) of its English words found in the sound, to 10 ms.

    Huggins-Daines et al. (2006), pocketsphinx 5 with the en-us acoustic model of its wheel. The alignment spells words
    as its dictionary does: numbers are spelled out, hyphens separate words, an unknown "dog's" is aligned as "dog",
    unknown capitals as letters. The result keeps the spelling. Words that stay unknown get the gap between
    their neighbours, marked as estimated. Earlier times are replaced.

    None if alignment is impossible: the language is not English (or None), Silero VAD detects no speech, fewer than
    ``known`` of the words are in the dictionary, or the decoder does not find every word. It mostly finds them even if
    others are spoken: the text is trusted.
    """

    weights: ClassVar[tuple[Weights, ...]] = (SILERO, *ACOUSTIC)

    known: float = 0.5

    def __post_init__(self) -> None:
        self.require(0 < self.known <= 1, f"known {self.known} must lie above 0 and not above 1")

    def load(self, device: str) -> None:
        """Open the detector and the decoder; both run on the CPU."""
        self._detector = SpeechDetector()
        self._decoder = SphinxDecoder(language_model=False)

    def run(self, transcript: Transcript, waveform: Waveform) -> Transcript | None:
        """The same words with their times, or None."""
        if (transcript.language or "en").partition("-")[0].lower() != "en" or not transcript.words:
            return None
        said = [pronounceable(word.text, self._decoder.knows) for word in transcript.words]
        spoken = sum(any(char.isalnum() for char in word.text) for word in transcript.words)
        if sum(map(bool, said)) < max(1, self.known * spoken):
            return None
        samples = at_16k(waveform)
        if not self._detector.spans(samples):
            return None
        expected = [part for parts in said for part in parts]
        self._decoder.expect(expected)
        heard = self._decoder.hear(samples)
        # A surplus word at the end is dropped silently, so compare all words.
        if [part.text for part in heard] != expected:
            return None
        return replace(transcript, words=fill_gaps(_timed(transcript.words, said, heard), waveform.seconds))


def _timed(words: tuple[Word, ...], said: list[list[str]], heard: list[Heard]) -> tuple[Word, ...]:
    """Each word from its first to its last part; a word without parts has no times yet."""
    out: list[Word] = []
    at = 0
    for word, parts in zip(words, said, strict=True):
        if parts:
            first, last = heard[at], heard[at + len(parts) - 1]
            at += len(parts)
            out.append(replace(word, start=first.start, end=last.end, estimated=False))
        else:
            out.append(replace(word, start=None, end=None))
    return tuple(out)
