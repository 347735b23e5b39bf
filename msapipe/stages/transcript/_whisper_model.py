"""A Whisper checkpoint in CTranslate2's format, run by faster-whisper: sound to phrases with word times."""

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

PAUSE = 3.0  # seconds without speech at which the sound is split
SHORT_PAUSE = 0.5  # the same if another language may follow
LONGEST = 28.0  # most seconds per piece: it fits into Whisper's 30 s window
_UNBROKEN = 300.0  # most seconds per span of speech: faster-whisper splits it into windows itself
_PAD = 0.4  # seconds of sound kept around speech
_UNSPACED = ("zh", "yue", "ja", "th", "lo", "my")  # written without spaces between words
_LOOSE = 0.1  # seconds by which a word may exceed the span of speech on either side
_SILENT = 2.0  # seconds of speech without a word that are recognised again
_SHORTEST = 0.02  # seconds: Whisper's time resolution
_OTHER, _WANTED = (
    0.5,
    0.2,
)  # another language is detected if its probability reaches the first value and the wanted one is below the second


class Recogniser:
    """One loaded checkpoint. english_alone: it always writes English, although its tokenizer knows other languages."""

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
                cpu_threads=1,  # clips run in parallel processes; more threads give the same numbers
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:
            if gpu and "model" not in str(error).lower():
                raise MissingLibrary(f"CTranslate2 does not run on {device}: {error}; type: --device cpu") from error
            raise WeightsError(f"{folder} cannot be read as a Whisper: {' '.join(str(error).split())}") from error
        self._beam = beam
        self.tells_language = bool(self._model.model.is_multilingual) and not english_alone

    def check_language(self, language: str) -> None:
        """Raise ConfigError for a language that the checkpoint does not support."""
        known = self._model.supported_languages if self.tells_language else ["en"]
        if language and language not in known:
            raise ConfigError(f"whisper: the checkpoint knows no language {language!r}{did_you_mean(language, known)}")

    def language(self, sound: Floats, wanted: str) -> tuple[str, str]:
        """The language of 16 kHz sound if none is ``wanted`` yet, and the other language detected, or ""."""
        found, probability, every = self._model.detect_language(sound)
        if not wanted or found == wanted:
            return found, ""
        other = probability >= _OTHER and dict(every).get(wanted, 0.0) < _WANTED
        return wanted, found if other else ""

    def hear(self, sound: Floats, language: str) -> list[Segment]:
        """All phrases in 16 kHz sound, unfiltered; times from its start."""
        segments, _ = self._model.transcribe(
            sound,
            language=language,
            beam_size=self._beam,
            temperature=0.0,  # higher ones sample at random
            word_timestamps=True,
            condition_on_previous_text=False,
            compression_ratio_threshold=None,  # filtering is done in _whisper_gate
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
    """Merge parts into written words: "well-dressed" is one word, with the lower confidence of its two parts."""
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
    """Group spans of speech into padded, disjoint pieces, split at pauses and at the maximum length."""
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
        # A pause shorter than two pads is split in the middle.
        left = max(start - _PAD, (before + start) / 2 if number else 0.0)
        right = min(end + _PAD, (end + behind) / 2 if number + 1 < len(found) else total)
        out.append((left, right))
    return out


def unheard(spans: Iterable[Span], words: Iterable[Word]) -> float:
    """Seconds of speech in stretches of at least 2 s without a word."""
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
    """The spans of speech without a word."""
    return [
        (start, end)
        for start, end in spans
        if not any((word.start or 0.0) < end and (word.end or 0.0) > start for word in words)
    ]


def shifted(word: Word, by: float) -> Word:
    """The word, delayed by ``by`` seconds."""
    return replace(word, start=(word.start or 0.0) + by, end=(word.end or 0.0) + by)


def into_speech(word: Word, spans: Iterable[Span]) -> Word:
    """Cut the word to the span of speech that it overlaps most: Whisper starts words in the pause before them."""
    start, end = word.start or 0.0, word.end or 0.0
    most = max(spans, key=lambda span: min(end, span[1]) - max(start, span[0]), default=None)
    if most is None or min(end, most[1]) <= max(start, most[0]):
        return word
    return replace(word, start=max(start, most[0] - _LOOSE), end=min(end, most[1] + _LOOSE))


def in_order(words: Iterable[Word], total: float) -> tuple[Word, ...]:
    """Make the words consecutive, with positive durations, within ``total`` seconds."""
    out: list[Word] = []
    now = 0.0
    for word in words:
        start = min(max(word.start or 0.0, now), max(0.0, total - _SHORTEST))
        now = min(max(word.end or 0.0, start + _SHORTEST), total)
        out.append(replace(word, start=start, end=now))
    return tuple(out)
