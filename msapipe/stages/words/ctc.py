"""Word times by forced alignment with a Wav2Vec2-CTC checkpoint: English, Chinese, or your own (GPU or CPU)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from msapipe.stages._base import CheckpointStage
from msapipe.stages._speech import RATE, SILERO, SpeechDetector, at_16k
from msapipe.stages._speech_net import SpeechNet, check_chunks, load_speech
from msapipe.stages._spread import fill_gaps
from msapipe.stages._transformers import load_tokenizer
from msapipe.stages.words._letters import Letters
from msapipe.stages.words._viterbi import Path, forced_path
from msapipe.types import Transcript, Waveform, Word
from msapipe.weights import Weights
from msapipe.weights.encoders import WAV2VEC2, on_hub

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]

_ENGLISH = "facebook/wav2vec2-base-960h"
_CHINESE = "jonatasgrosman/wav2vec2-large-xlsr-53-chinese-zh-cn"
_LANGUAGES = {_ENGLISH: "en", _CHINESE: "zh"}
_NAMED = 10  # most words named in a note


@dataclass
class Ctc(CheckpointStage):
    """The Transcript with word times (seconds) found in the sound, to 20 ms, and a confidence in [0, 1].

    Graves et al. (2006), Baevski et al. (2020). The letters of the words are aligned with the network's output; letters
    outside its vocabulary are left out (Chinese characters are letters). A word lasts from the first to the last frame
    of its letters; its confidence is the geometric mean of their probabilities over these frames. A word without any
    letter (a number, another script) gets the gap between its neighbours, marked as estimated, with confidence 0. Notes
    name these words, and those with a confidence below ``floor``. Spelling is kept; earlier times are replaced.

    None if alignment is impossible: no words; a known language other than ``language`` (default: that of a catalogued
    checkpoint, any for others); no speech by Silero VAD; fewer than ``known`` of the words have letters; too little
    sound for the letters. A wrong text is aligned all the same, but with low confidence.

    chunk_seconds, overlap_seconds: longer sound is processed in windows of that length, whose overlap on both sides is
    discarded; everything but attention is as in the whole sound.
    """

    on_device: ClassVar[bool] = True
    weights: ClassVar[tuple[Weights, ...]] = (
        WAV2VEC2,
        on_hub(_CHINESE, "99ccb2737be22b8bb50dcfcc39ad4d567fb90cfd", "Apache-2.0"),
        SILERO,
    )

    checkpoint: str = _ENGLISH
    language: str | None = None
    known: float = 0.5
    floor: float = 0.1
    chunk_seconds: float = 20.0
    overlap_seconds: float = 2.0

    def __post_init__(self) -> None:
        self.require(0 < self.known <= 1, f"known {self.known} must lie above 0 and not above 1")
        self.require(0 <= self.floor <= 1, f"floor {self.floor} must lie between 0 and 1")
        check_chunks("ctc", self.chunk_seconds, self.overlap_seconds)

    def own_weights(self) -> tuple[Weights, ...]:
        """The selected checkpoint, and the speech detector."""
        return (*super().own_weights(), SILERO)

    def load(self, device: str) -> None:
        """Read the network, its vocabulary and the speech detector."""
        from transformers import Wav2Vec2ForCTC

        checkpoint = self.own_weights()[0]
        folder = checkpoint.path()
        self._model = load_speech(folder, Wav2Vec2ForCTC, device)
        self._net = SpeechNet(folder, self._model.wav2vec2, self.chunk_seconds, self.overlap_seconds)
        self._letters = Letters(folder, load_tokenizer(folder), self._model.lm_head.out_features)
        self._detector = SpeechDetector()
        self._language = self.language or _LANGUAGES.get(checkpoint.name)

    def run(self, transcript: Transcript, waveform: Waveform) -> Transcript | None:
        """The same words with their times, or None."""
        words = transcript.words
        language = (transcript.language or "").partition("-")[0].lower()
        if not words or (language and self._language and language != self._language):
            return None
        letters, places = self._letters.text([word.text for word in words])
        spoken = sum(any(char.isalnum() for char in word.text) for word in words)
        if sum(map(bool, places)) < max(1, self.known * spoken):
            return None
        samples = at_16k(waveform)
        if not self._detector.spans(samples):
            return None
        path = self._align(samples, letters)
        if path is None:
            return None
        timed = [self._timed(word, place, path) for word, place in zip(words, places, strict=True)]
        notes = (*transcript.notes, *_notes(timed, self.floor))
        return replace(transcript, words=fill_gaps(tuple(timed), waveform.seconds), notes=notes)

    def _align(self, samples: Floats, letters: list[int]) -> Path | None:
        """Run the network and align the letters with its output."""
        # Of thousands of Chinese characters, only those in the text are kept.
        columns, target = np.unique([self._letters.blank, *letters], return_inverse=True)
        emissions = np.empty((self._net.rows(len(samples)), len(columns)), np.float32)
        for first, rows in self._net.pieces(samples, lambda sound: self._hear(sound, columns)):
            emissions[first : first + len(rows)] = rows.cpu().numpy()
        return forced_path(emissions, target[1:], int(target[0]))

    def _hear(self, sound: torch.Tensor, columns: NDArray[np.int64]) -> torch.Tensor:
        """Log probabilities of some outputs: (m, len(columns))."""
        log_probs = self._model(sound).logits[0].log_softmax(dim=-1)
        return cast("torch.Tensor", log_probs[:, columns.tolist()])

    def _timed(self, word: Word, place: range, path: Path) -> Word:
        """The word with the times of its letters; a word without letters has no times yet."""
        if not place:
            return replace(word, start=None, end=None, confidence=0.0)
        # The letters of the word are states 2 * place.start + 1 to 2 * place.stop - 1; states never decrease.
        first, last = np.searchsorted(path.states, [2 * place.start + 1, 2 * place.stop])
        spoken = path.states[first:last] % 2 == 1
        confidence = min(1.0, float(np.exp(path.scores[first:last][spoken].mean())))
        step = self._net.hop / RATE
        return replace(word, start=first * step, end=last * step, confidence=confidence, estimated=False)


def _notes(words: list[Word], floor: float) -> list[str]:
    """Notes on words that were not found or are uncertain; ``words`` before the gaps are filled."""
    missed = [word.text for word in words if word.start is None and any(char.isalnum() for char in word.text)]
    weak = [word.text for word in words if word.start is not None and (word.confidence or 0.0) < floor]
    return [
        f"{what}: {', '.join(found[:_NAMED])}" + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
        for what, found in (
            ("no sound was found for", missed),
            (f"found with a confidence below {floor:g}", weak),
        )
        if found
    ]
