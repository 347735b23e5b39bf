"""What is asked for (a clip) and what its file says it holds (media info)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from msapipe.types.words import CaptionTrack


@dataclass(frozen=True)
class Clip:
    """A stretch of one media file.

    id: unique in a run; kept in reports and exports, never in a cache key.
    start, end: seconds in the file, half-open; ``end=None`` means to the end of the file.
    text: the spoken words, when the caller knows them.
    """

    id: str
    path: Path
    start: float = 0.0
    end: float | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise ValueError(f"{self.id}: a clip needs 0 <= start < end, got start {self.start}, end {self.end}")


@dataclass(frozen=True)
class MediaInfo:
    """What the container of a file declares, and the captions that it carries.

    video, audio: one line about the stream that is read ("h264 360x288 25 fps"), or None when there is none.
    seconds: the declared length, or where the packets end when none is declared; it may lie and nothing is sized by it.
    captions: the embedded text subtitle streams that have cues.
    notes: what a user should know (which of several streams was taken, say).
    rate: pictures a second, None without pictures or when not known.
    """

    format: str
    video: str | None
    audio: str | None
    seconds: float | None
    captions: tuple[CaptionTrack, ...] = ()
    notes: tuple[str, ...] = ()
    rate: float | None = None


@dataclass(frozen=True)
class Failure:
    """Why a file is not to be tried again: its decoder died on it.

    message: the sentence for the user.
    """

    message: str


@dataclass(frozen=True)
class Summary:
    """What came of a clip of which everything is stored.

    missing, notes, coverage: as an outcome has them.   filled: slot and key of every result that it was made of.
    """

    missing: tuple[str, ...]
    notes: tuple[str, ...]
    coverage: dict[str, float]
    filled: tuple[tuple[str, str], ...]
