"""A requested clip, and the media info of its file."""

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
    """What a file's container declares, and its embedded captions.

    video, audio: one line about the selected stream ("h264 360x288 25 fps"), or None if there is none.
    seconds: the declared length, else the end of the last packet; it may be wrong, so nothing is sized by it.
    captions: the embedded text subtitle streams that have cues.
    notes: remarks for the user (for example which of several streams was selected).
    rate: frames per second; None without frames or if unknown.
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
    """Why a file is not tried again: the decoder died on it.

    message: the sentence for the user.
    """

    message: str


@dataclass(frozen=True)
class Summary:
    """The outcome of a clip whose results are all cached.

    missing, notes, coverage: as in an outcome.   filled: slot and key of every result that went into it.
    """

    missing: tuple[str, ...]
    notes: tuple[str, ...]
    coverage: dict[str, float]
    filled: tuple[tuple[str, str], ...]
