"""A Whisper in CTranslate2's layout, by faster-whisper: sound in, phrases with word times out."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import ConfigError, MissingLibrary, WeightsError
from msapipe.registry import did_you_mean
from msapipe.stages.transcript._whisper_gate import Segment
from msapipe.types import Word

Floats = NDArray[np.float32]
Span = tuple[float, float]

PAUSE = 3.0  # seconds without speech at which the sound is cut
SHORT_PAUSE = 0.5  # the same where it may be that another language begins behind it
LONGEST = 28.0  # seconds of a piece: it fits into one of Whisper's windows of 30 s
_UNBROKEN = 300.0  # seconds that one span of speech may have: faster-whisper walks through it by itself
_PAD = 0.4  # seconds of sound kept around speech
_UNSPACED = ("zh", "yue", "ja", "th", "lo", "my")  # written without spaces between words
_LOOSE = 0.1  # seconds that a word may begin before speech and end behind it
_SILENT = 2.0  # seconds of speech without a word that are looked into
_SHORTEST = 0.02  # seconds: Whisper's own step
_OTHER, _WANTED = (
    0.5,
    0.2,
)  # another language is told where it has at least the one probability, the wanted below the other


class Recogniser:
    """One loaded checkpoint. english_alone: it writes English whatever is spoken, though its tokenizer knows more."""

    def __init__(self, folder: Path, device: str, beam: int = 1, english_alone: bool = False) -> None:
        for names in (("model.bin",), ("config.json",), ("tokenizer.json",), ("vocabulary.json", "vocabulary.txt")):
            if not any((folder / name).is_file() for name in names):
                raise WeightsError(
                    f"{folder} holds no {' or '.join(names)}; expected a Whisper in CTranslate2's layout (type: "
                    "ct2-transformers-converter --copy_files tokenizer.json preprocessor_config.json ...)"
                )
        try:
            import ctranslate2
            from faster_whisper import WhisperModel
        except (ImportError, OSError) as error:
            raise MissingLibrary(f"faster-whisper does not load: {error}; type: uv sync") from error
        ctranslate2.set_log_level(logging.ERROR)
        logging.getLogger("faster_whisper").setLevel(logging.ERROR)
        kind, _, index = device.partition(":")
        gpu = kind == "cuda"
        try:
            self._model = WhisperModel(
                str(folder),
                device=kind if gpu else "cpu",
                device_index=int(index or 0),
                compute_type="float16" if gpu else "int8",
                cpu_threads=1,  # several clips run in several processes; the numbers are the same with more
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:
            if gpu and "model" not in str(error).lower():
                raise MissingLibrary(f"CTranslate2 does not run on {device}: {error}; type: --device cpu") from error
            raise WeightsError(f"{folder} cannot be read as a Whisper: {' '.join(str(error).split())}") from error
        self._beam = beam
        self.tells_language = bool(self._model.model.is_multilingual) and not english_alone

    def check_language(self, language: str) -> None:
        """Raise ConfigError for a language that the checkpoint does not know."""
        known = self._model.supported_languages if self.tells_language else ["en"]
        if language and language not in known:
            raise ConfigError(f"whisper: the checkpoint knows no language {language!r}{did_you_mean(language, known)}")

    def language(self, sound: Floats, wanted: str) -> tuple[str, str]:
        """The language of 16 kHz sound where none is ``wanted`` yet, and another than that one, or ""."""
        found, probability, every = self._model.detect_language(sound)
        if not wanted or found == wanted:
            return found, ""
        other = probability >= _OTHER and dict(every).get(wanted, 0.0) < _WANTED
        return wanted, found if other else ""

    def hear(self, sound: Floats, language: str) -> list[Segment]:
        """The phrases in 16 kHz sound, nothing left out that Whisper writes down; times from its start."""
        segments, _ = self._model.transcribe(
            sound,
            language=language,
            beam_size=self._beam,
            temperature=0.0,  # others draw by chance
            word_timestamps=True,
            condition_on_previous_text=False,
            compression_ratio_threshold=None,  # what is left out is said, in _whisper_gate
            log_prob_threshold=None,
            no_speech_threshold=None,
        )
        return [
            Segment(
                tuple(_words(segment.words or (), language)),
                float(segment.avg_logprob),
                float(segment.no_speech_prob),
                float(segment.compression_ratio),
            )
            for segment in segments
        ]


def _words(said: Iterable[Any], language: str) -> list[Word]:
    """Words as they are written: "well-dressed" is one, though heard in two parts: the less sure one counts."""
    out: list[Word] = []
    for part in said:
        text = part.word.strip()
        word = Word(text, float(part.start), float(max(part.start, part.end)), min(1.0, float(part.probability)))
        if not text:
            continue
        if out and language not in _UNSPACED and not part.word[:1].isspace():
            last = out.pop()
            sure = min(last.confidence or 0.0, word.confidence or 0.0)
            word = Word(last.text + text, last.start, max(last.end or 0.0, word.end or 0.0), sure)
        out.append(word)
    return out


def pieces(spans: Iterable[Span], total: float, pause: float = PAUSE) -> list[Span]:
    """Spans of speech to pieces of sound, padded, apart: cut at pauses, and where a piece would grow too long."""
    found: list[Span] = []
    for start, end in spans:
        if found and start - found[-1][1] < pause and end - found[-1][0] <= LONGEST:
            found[-1] = (found[-1][0], end)
            continue
        parts = max(1, int(np.ceil((end - start) / _UNBROKEN)))
        edges = [float(edge) for edge in np.linspace(start, end, parts + 1)]
        found += itertools.pairwise(edges)
    out: list[Span] = []
    for number, (start, end) in enumerate(found):
        before = found[number - 1][1] if number else 0.0
        behind = found[number + 1][0] if number + 1 < len(found) else total
        # A pause that is shorter than two pads is parted in its middle.
        left = max(start - _PAD, (before + start) / 2 if number else 0.0)
        right = min(end + _PAD, (end + behind) / 2 if number + 1 < len(found) else total)
        out.append((left, right))
    return out


def unheard(spans: Iterable[Span], words: Iterable[Word]) -> float:
    """Seconds of speech in stretches of 2 s and more in which no word stands."""
    total = 0.0
    said = sorted((word.start or 0.0, word.end or 0.0) for word in words)
    for start, end in spans:
        now = start
        for first, last in [*said, (end, end)]:
            gap = min(first, end) - now
            total += gap if gap >= _SILENT else 0.0
            now = max(now, min(last, end))
    return total


def without_words(spans: Iterable[Span], words: Sequence[Word]) -> list[Span]:
    """The spans of speech in which no word stands."""
    return [
        (start, end)
        for start, end in spans
        if not any((word.start or 0.0) < end and (word.end or 0.0) > start for word in words)
    ]


def shifted(word: Word, by: float) -> Word:
    """The word, so many seconds later."""
    return replace(word, start=(word.start or 0.0) + by, end=(word.end or 0.0) + by)


def into_speech(word: Word, spans: Iterable[Span]) -> Word:
    """The word cut to the span of speech that it has most of: Whisper lets words begin in the pause before them."""
    start, end = word.start or 0.0, word.end or 0.0
    most = max(spans, key=lambda span: min(end, span[1]) - max(start, span[0]), default=None)
    if most is None or min(end, most[1]) <= max(start, most[0]):
        return word
    return replace(word, start=max(start, most[0] - _LOOSE), end=min(end, most[1] + _LOOSE))


def in_order(words: Iterable[Word], total: float) -> tuple[Word, ...]:
    """The words one behind the other, none without length, all within ``total`` seconds."""
    out: list[Word] = []
    now = 0.0
    for word in words:
        start = min(max(word.start or 0.0, now), max(0.0, total - _SHORTEST))
        now = min(max(word.end or 0.0, start + _SHORTEST), total)
        out.append(replace(word, start=start, end=now))
    return tuple(out)
