"""Speech recognition with word times: Whisper (faster-whisper) behind Silero VAD; English, or 99 languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from msapipe.errors import ConfigError
from msapipe.registry import did_you_mean
from msapipe.stages._base import CheckpointStage, Stage
from msapipe.stages._speech import RATE, SILERO, SpeechDetector, at_16k
from msapipe.stages.transcript._whisper_gate import Verdict, judge
from msapipe.stages.transcript._whisper_model import (
    SHORT_PAUSE,
    Floats,
    Recogniser,
    Span,
    in_order,
    into_speech,
    pieces,
    shifted,
    unheard,
    without_words,
)
from msapipe.stages.transcript._whisper_sizes import ENGLISH_ALONE, SIZES
from msapipe.types import Transcript, Waveform, Word
from msapipe.types.sound import let_go
from msapipe.weights import Weights, choose


@dataclass
class Whisper(CheckpointStage):
    """The words in the sound, with punctuation, as a Transcript with start and end in seconds, confidence in [0, 1].

    Radford et al. (2023), "Robust Speech Recognition via Large-Scale Weak Supervision", by faster-whisper on
    CTranslate2: int8 on a CPU, float16 on a GPU; deterministic beam search. Source "whisper". Never None: without
    speech there are no words. Confidence: the probability of the word.

    It runs on stretches where Silero VAD detects speech (probability at least ``speech``), split at pauses of 3 s and
    before 28 s are exceeded; if the words of a stretch are doubtful, at pauses of 0.5 s. Removed, with a note:
    repetitive text (compression ratio above 2.4); text where Whisper itself detects no speech (no-speech probability
    above 0.6, mean log probability below -0.7).

    Times are from Whisper's cross-attention, cut to where Silero detects speech (within 0.1 s).

    Language: stretches in another language than ``language`` give no words and a note. A checkpoint for 99 languages
    detects the language itself. An English-only checkpoint always writes English: then ``base`` detects the language if
    it is on this machine; otherwise a stretch is rejected if its words are too uncertain (see ``_whisper_gate``).

    size: tiny.en, base, small, large-v3-turbo or distil-large-v3.   checkpoint: instead of a size, a folder of your own
    (./folder) in CTranslate2's format, or org/name@COMMIT of a hub.   language: a code such as en or zh; "" accepts
    every language that the checkpoint supports.   beam: number of hypotheses in the beam search.
    """

    version: ClassVar[int] = 2
    on_device: ClassVar[bool] = True
    weights: ClassVar[tuple[Weights, ...]] = tuple(SIZES.values())

    checkpoint: str = ""
    size: str = "tiny.en"
    language: str = ""
    speech: float = 0.5
    beam: int = 5

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ConfigError(f"whisper: no size is called {self.size!r}{did_you_mean(self.size, SIZES)}")
        if self.language and not re.fullmatch(r"[a-z]{2,3}", self.language):
            raise ConfigError(f"whisper: language {self.language!r} must be a code such as en or zh, or empty")
        if self._english_alone and self.language not in ("", "en"):
            raise ConfigError(
                f"whisper: size {self.size} knows English alone, language is {self.language!r}; "
                "take size base, small or large-v3-turbo"
            )
        self.require(0 < self.speech < 1, f"speech {self.speech} must lie between 0 and 1")
        self.require(1 <= self.beam <= 20, f"beam {self.beam} must lie between 1 and 20")

    @property
    def _own(self) -> Weights:
        return choose(self.weights, self.checkpoint, "whisper") if self.checkpoint else SIZES[self.size]

    @property
    def _english_alone(self) -> bool:
        return self._own in [SIZES[size] for size in ENGLISH_ALONE]

    def own_weights(self) -> tuple[Weights, ...]:
        """The checkpoint, Silero VAD, and ``base`` if it is present and needed to detect the language."""
        listens = self._english_alone and SIZES["base"].here()
        return (self._own, SILERO, *([SIZES["base"]] if listens else ()))

    def params(self) -> dict[str, Any]:
        """The parameters; the path of a user's own checkpoint is replaced by its hash."""
        return super().params() if self.checkpoint else Stage.params(self)

    def load(self, device: str) -> None:
        """Read the checkpoint; raises ConfigError for a language that it does not support."""
        own, _, *listener = self.own_weights()
        self._detector = SpeechDetector()
        self._recogniser = Recogniser(own.path(), device, self.beam, self._english_alone)
        self._recogniser.check_language(self.language)
        self._listener = self._recogniser if self._recogniser.tells_language else None
        if listener:
            self._listener = Recogniser(listener[0].path(), device)

    def run(self, waveform: Waveform) -> Transcript:
        """The words spoken in the sound."""
        samples = at_16k(waveform)
        spans = self._detector.spans(samples, self.speech)
        wanted = self.language or ("" if self._recogniser.tells_language else "en")
        notes = [] if spans else ["whisper: no speech of a quarter of a second or longer was heard"]
        words: list[Word] = []
        for span in pieces(spans, len(samples) / RATE):
            if not wanted and self._listener is not None:
                wanted = self._listener.language(_cut(samples, span), "")[0]
            for (start, end), verdict in self._believed(samples, span, spans, wanted):
                notes += [f"whisper: from {start:.1f} to {end:.1f} s: {note}" for note in verdict.notes]
                near = [span for span in spans if span[0] < end and span[1] > start]
                words += [into_speech(shifted(word, start), near) for word in verdict.words]
            let_go(samples)
        return Transcript(in_order(words, waveform.seconds), wanted or None, "whisper", tuple(notes), recognised=True)

    def _believed(self, samples: Floats, span: Span, spans: list[Span], wanted: str) -> Iterator[tuple[Span, Verdict]]:
        """The words of a stretch; if they are doubtful, part by part, since another speaker may be in one of them."""
        whole = self._judged(_cut(samples, span), wanted)
        inside = [(start, end) for start, end in spans if span[0] <= start and end <= span[1]]
        said = [shifted(word, span[0]) for word in whole.words]
        again = inside if whole.doubtful else without_words(inside, said) if unheard(inside, said) else []
        parts = pieces(again, span[1], SHORT_PAUSE)
        if not whole.doubtful or len(parts) < 2:
            silent = unheard([part for part in inside if part not in again], said) if said else 0.0
            lost = (f"{silent:.1f} s of speech gave no words",) if silent else ()
            yield span, replace(whole, notes=(*whole.notes, *lost))
        if not whole.doubtful or len(parts) > 1:
            for part in parts:
                yield part, self._judged(_cut(samples, part), wanted)

    def _judged(self, sound: Floats, wanted: str) -> Verdict:
        other = self._listener.language(sound, wanted)[1] if self._listener is not None else ""
        heard = [] if other else self._recogniser.hear(sound, wanted)
        return judge(heard, other, wanted, gate=self._listener is None)


def _cut(samples: Floats, span: Span) -> Floats:
    return samples[int(span[0] * RATE) : int(span[1] * RATE)]
