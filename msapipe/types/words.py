"""Spoken words and their times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """One word, or one caption cue.

    start, end: seconds from the start of the clip, or None if unknown.
    confidence: in [0, 1], or None if the source gives none.
    estimated: the times were interpolated, not measured.
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
        """Whether the times were given or measured, not estimated."""
        return self.start is not None and not self.estimated


@dataclass(frozen=True)
class PassedOver:
    """A transcript source exists but holds no usable words; gives the reason for the user. The next source is tried."""

    notes: tuple[str, ...]


@dataclass(frozen=True)
class CaptionTrack:
    """One text subtitle stream of a file.

    stream: its index in the file.   cues: in order, seconds from the start of the file; newlines separate lines.
    language: ISO 639-1, or None.   default, forced, hearing_impaired, commentary: flags set in the file.
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

    language: ISO 639-1 code, or None if unknown.
    source: where the words come from ("sidecar clip.srt", "pocketsphinx", ...); "none" if nothing was found.
    notes: remarks for the user on their origin.
    recognised: from speech recognition; otherwise written by people.
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
