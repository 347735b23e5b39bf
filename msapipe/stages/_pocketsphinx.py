"""Pocketsphinx with the US English model of its wheel: one decoder, opened once and reset between utterances."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MissingLibrary
from msapipe.stages._speech import RATE
from msapipe.types.sound import peak_of
from msapipe.weights import InPackage


def _file(file: str, sha256: str, size: int) -> InPackage:
    return InPackage(
        name=f"pocketsphinx en-us {file}",
        package="pocketsphinx",
        file=f"model/en-us/{file}",
        sha256=sha256,
        bytes=size,
        licence="BSD-2-Clause",
        source="https://github.com/cmusphinx/pocketsphinx, wheel pocketsphinx 5.0.4",
    )


_DICTIONARY = _file("cmudict-en-us.dict", "cb01cf8b6a47f5a97ed46b01e96ea8a924d07d1abfd770f787836013df8537da", 3273623)
_LANGUAGE = _file("en-us.lm.bin", "db21d0642286677699e6dbc859d2e5395570222361999387ce60f6e1d01995d6", 27114385)
_PARAMS = _file("en-us/feat.params", "c982c5f75e2a30c34d2c9ef1f6b129a5a00e67e3e927565076b58664cc2404c9", 164)

# Files for alignment. The folder en-us/en-us is read as a whole, so every file in it counts.
ACOUSTIC = (
    _PARAMS,
    _DICTIONARY,
    _file("en-us/mdef", "2360f9a86889c1cfee8bd618a0269387911e5fb2920a594f506b18b8c79683b0", 2959176),
    _file("en-us/means", "832019e32cac12eb318964f96f469034acb12d0348eeddc3831831a100cb4dd4", 838732),
    _file("en-us/variances", "b00d696f85e96834fc10f8e5f06428d8c4db6bffdbe5845b6f69bf6efbc48fa5", 838732),
    _file("en-us/sendump", "8c9564c0d5bef69ca9d9bf1014abe162f071644cf02cf1fa8a483c3dc165a7a8", 1969024),
    _file("en-us/transition_matrices", "c1f7f28ea43177be734be1f88bd7f1b9a853d0e660f8599c67c6eaeca8bb539a", 2080),
    _file("en-us/noisedict", "7295b07df2c204c4f87c6782b6be1a3859d7006d4e3864181c955d6dab105a33", 56),
)
# Files for recognition.
RECOGNITION = (*ACOUSTIC, _LANGUAGE)

_FRAME = 0.01  # seconds
_PEAK = 0.7  # of full scale: the decoder gets every piece at the same level
_VARIANT = re.compile(r"\(\d+\)$")


@dataclass(frozen=True)
class Heard:
    """A recognised word: seconds from the start of the sound passed in, confidence in [0, 1]."""

    text: str
    start: float
    end: float
    confidence: float


class SphinxDecoder:
    """A pocketsphinx decoder; with ``language_model`` for recognition, without it for alignment.

    Opening takes 0.3 s (0.1 s without the language model). Earlier utterances would change the results through the
    noise tracker of the front end, so the front end is created anew for every utterance: results are bit-identical to
    those of a new decoder.

    warp: scales the frequencies of the sound (vocal tract length); None leaves them.
    """

    def __init__(self, language_model: bool, warp: float | None = None, **settings: Any) -> None:
        try:
            import pocketsphinx
        except (ImportError, OSError) as error:
            raise MissingLibrary(f"pocketsphinx does not load: {error}; type: uv sync") from error
        for weights in RECOGNITION if language_model else ACOUSTIC:
            weights.path()
        settings.update(
            hmm=str(Path(_PARAMS.path()).parent),
            dict=str(_DICTIONARY.path()),
            lm=str(_LANGUAGE.path()) if language_model else None,
            loglevel="FATAL",  # other messages are meant for its developers
        )
        self._decoder = pocketsphinx.Decoder(**settings)
        self._warp = warp

    def knows(self, word: str) -> bool:
        """Whether the dictionary holds this word, in lower case."""
        return bool(word) and self._decoder.lookup_word(word) is not None

    def expect(self, words: list[str]) -> None:
        """Align these words, all in the dictionary, in the following utterances."""
        self._decoder.set_align_text(" ".join(words))

    def hear(self, samples: NDArray[np.float32]) -> list[Heard]:
        """The words in 16 kHz sound, without fillers; [] if the search fails."""
        peak = peak_of(samples)
        if peak <= 0:
            return []
        loud = (samples * (_PEAK * 32767 / peak)).astype(np.int16)
        self._fresh_front_end()
        self._decoder.start_utt()
        self._decoder.process_raw(loud.tobytes(), full_utt=True)
        self._decoder.end_utt()
        if self._decoder.hyp() is None:
            return []
        return [
            Heard(
                _VARIANT.sub("", segment.word),
                segment.start_frame * _FRAME,
                (segment.end_frame + 1) * _FRAME,
                min(max(float(segment.prob), 0.0), 1.0),
            )
            for segment in self._decoder.seg() or ()
            if not segment.word.startswith(("<", "[", "++"))
        ]

    def _fresh_front_end(self) -> None:
        # The C library keeps the warp in one global variable. Another decoder without a warp clears it, and a parameter
        # text equal to the last one is then skipped as "set already". So the number is written with a different count
        # of trailing zeros each time in this process.
        config = self._decoder.config
        config["warp_params"] = None if self._warp is None else f"{self._warp:.{3 + next(_warped) % 2}f}"
        self._decoder.reinit_feat(config)


_warped = itertools.count()

Span = tuple[float, float]


def utterances(spans: list[Span], pad: float, longest: float) -> list[list[Span]]:
    """Group spans of speech into utterances: lists of stretches, with the pauses between them left out.

    Each stretch is padded without overlaps: a short pause is split in the middle. A group has at most ``longest``
    seconds, which bounds time and memory; a longer span is cut evenly.
    """
    parts: list[Span] = []
    for start, end in spans:
        edges = np.linspace(start, end, 1 + max(1, int(np.ceil((end - start) / (longest - 2 * pad)))))
        parts += [(float(a), float(b)) for a, b in itertools.pairwise(edges)]
    if not parts:
        return []
    pads = [pad, *(min(pad, (b[0] - a[1]) / 2) for a, b in itertools.pairwise(parts)), pad]
    groups: list[list[Span]] = []
    room = 0.0
    for (start, end), before, after in zip(parts, pads[:-1], pads[1:], strict=True):
        stretch = (max(0.0, start - before), end + after)
        if stretch[1] - stretch[0] > room:
            groups.append([])
            room = longest
        groups[-1].append(stretch)
        room -= stretch[1] - stretch[0]
    return groups


def hear_stretches(decoder: SphinxDecoder, samples: NDArray[np.float32], stretches: list[Span]) -> list[Heard]:
    """The words in these stretches of 16 kHz sound, decoded as one utterance; times count as in ``samples``.

    One long utterance is recognised better than several short ones: the decoder normalises each by its own mean.
    """
    cuts = [(int(start * RATE), min(int(end * RATE), len(samples))) for start, end in stretches]
    heard = decoder.hear(np.concatenate([samples[first:last] for first, last in cuts]))
    offsets = np.cumsum([0, *(last - first for first, last in cuts)]) / RATE
    out: list[Heard] = []
    for word in heard:
        # A word across a cut belongs to the stretch that contains its midpoint.
        middle = (word.start + word.end) / 2
        index = min(int(np.searchsorted(offsets, middle, "right")) - 1, len(cuts) - 1)
        left, right = cuts[index][0] / RATE, cuts[index][1] / RATE
        start = min(max(left + word.start - float(offsets[index]), left), right)
        end = min(max(left + word.end - float(offsets[index]), left), right)
        out.append(Heard(word.text, start, end, word.confidence))
    return out
