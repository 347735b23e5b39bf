"""Spoken words and their times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """One word, or one caption cue.

    start, end: seconds from the start of the clip, None when not known.
    confidence: in [0, 1], None when the source gives none.
    estimated: the times were interpolated, not heard.
    """

    text: str
    start: float | None = None
    end: float | None = None
    confidence: float | None = None
    estimated: bool = False

    def __post_init__(self) -> None:
        if (self.start is None) != (self.end is None):
            raise ValueError(f"word {self.text!r}: give both start and end, or neither")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"word {self.text!r}: end {self.end} lies before start {self.start}")

    @property
    def timed(self) -> bool:
        """Whether the times were given or heard, not estimated."""
        return self.start is not None and not self.estimated


@dataclass(frozen=True)
class PassedOver:
    """What a source of words says that has something, but nothing to use: why, for the user; the next one is asked."""

    notes: tuple[str, ...]


@dataclass(frozen=True)
class CaptionTrack:
    """One text subtitle stream of a file.

    stream: its number in the file.   cues: seconds from the start of the file, in order; lines are split by newlines.
    language: ISO 639-1, None when not stated.   default, forced, hearing_impaired, commentary: as the file marks it.
    """

    stream: int
    cues: tuple[Word, ...]
    language: str | None = None
    default: bool = False
    forced: bool = False
    hearing_impaired: bool = False
    commentary: bool = False


@dataclass(frozen=True)
class Transcript:
    """The words of a clip in spoken order.

    language: ISO 639-1 code, or None when not known.
    source: where the words come from ("sidecar clip.srt", "pocketsphinx", ...); "none" when nothing was found.
    notes: what a user should know of how they came about.
    recognised: a program heard them; else people wrote them.
    """

    words: tuple[Word, ...] = ()
    language: str | None = None
    source: str = "none"
    notes: tuple[str, ...] = ()
    recognised: bool = False

    @property
    def text(self) -> str:
        """All words joined by spaces."""
        return " ".join(word.text for word in self.words)

    def __repr__(self) -> str:
        timed = sum(word.timed for word in self.words)
        return f"Transcript({len(self.words)} words, {timed} timed, source {self.source!r}: {self.text[:40]!r})"
