"""Filter Whisper's output: discard text where nobody speaks, or where another language is spoken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msapipe.types import Word

# OpenAI's bound: text that compresses better is repetitive.
MOST_COMPRESSION = 2.4
# On silence and music, tiny.en writes "You" or "Thank you very much": no-speech probability .94 and .95, mean log
# probability -0.87 and -1.0. On 22 real English clips, the no-speech probability is below .2.
MOST_NO_SPEECH, LEAST_LOGPROB = 0.6, -0.7
# Mean token log probability plus mean word probability, for tiny.en. This bound loses 0.8 % of 132 English clips (17
# real ones: none; 4.6 % of another draw) and refuses 92.8 % of 138 foreign ones; bounds chosen without a source lose
# 2.3 % and refuse 94.9 % (benchmarks/hearing.py).
LEAST_SURE = -0.30
# Below this, a phrase is doubtful, and the stretch is recognised again part by part.
_SURE = 0.2


@dataclass(frozen=True)
class Segment:
    """A phrase: its words (seconds from the start of the sound) and Whisper's confidence in its window.

    logprob: mean log probability of the tokens.   no_speech: probability in [0, 1].   compression: ratio of the text's
    bytes to its compressed bytes.
    """

    words: tuple[Word, ...]
    logprob: float
    no_speech: float
    compression: float

    @property
    def seconds(self) -> float:
        """Duration, at least a small positive value."""
        return max(0.01, (self.words[-1].end or 0.0) - (self.words[0].start or 0.0)) if self.words else 0.01


@dataclass(frozen=True)
class Verdict:
    """The accepted words, and why others were rejected. doubtful: part of the stretch may be something else."""

    words: tuple[Word, ...] = ()
    notes: tuple[str, ...] = ()
    doubtful: bool = False


def judge(heard: Sequence[Segment], other: str, wanted: str, gate: bool) -> Verdict:
    """The accepted words of one stretch.

    other: the language detected instead of ``wanted``, or "".   gate: no language was detected, so use ``sureness``.
    """
    if other:
        return Verdict(notes=(f"speech in another language ({other}), wanted is {wanted}: no words",), doubtful=True)
    notes: list[str] = []
    circling = [part for part in heard if part.compression > MOST_COMPRESSION]
    silent = [part for part in heard if part.no_speech > MOST_NO_SPEECH and part.logprob < LEAST_LOGPROB]
    for parts, why in ((circling, "the text goes in circles"), (silent, "Whisper itself hears no speech")):
        if count := sum(len(part.words) for part in parts):
            notes.append(f"{count} words were left out: {why}")
    left = [part for part in heard if part not in circling and part not in silent]
    words = tuple(word for part in left for word in part.words)
    if gate and words and (sure := sureness(left)) < LEAST_SURE:
        notes.append(
            f"{len(words)} words were left out, too unsure for {wanted} ({sure:.2f}, at least {LEAST_SURE}): another "
            "language, or hardly to be understood; the size base can tell the language"
        )
        words = ()
    doubtful = gate and any(sureness([part]) < _SURE for part in heard if part.words)
    return Verdict(words, tuple(notes), doubtful or bool(circling))


def sureness(parts: Sequence[Segment]) -> float:
    """Mean token log probability plus mean word probability: at most 1; -1 and less for guesses."""
    seconds = sum(part.seconds for part in parts)
    logprob = sum(part.logprob * part.seconds for part in parts) / seconds
    sure = [word.confidence or 0.0 for part in parts for word in part.words]
    return logprob + sum(sure) / len(sure)
