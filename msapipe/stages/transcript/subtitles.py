"""Words of the text subtitles inside the file (no weights)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from msapipe.stages._base import Stage
from msapipe.stages.transcript._cues import Cue, Written
from msapipe.stages.transcript._written import check_language, transcript_of, why_not
from msapipe.types import CaptionTrack, Clip, MediaInfo, PassedOver, Transcript


@dataclass
class Subtitles(Stage):
    """The cues of an embedded text subtitle stream as a Transcript, or None if the file has none.

    Of several streams: those in ``language`` before those without a stated language, regular ones before those for the
    hard of hearing, default ones before others. Streams in another language (as stated or by their words), forced ones
    and commentaries are skipped with a note.

    A cue's time is divided among its words by letters: all times are estimated. They are seconds from the clip's start;
    a word belongs to the clip that contains its midpoint; words after the end of the file are dropped. A stretch
    without cues gives a Transcript without words. Sounds, speaker names and styling are removed. Source: "subtitles".
    Paper: none.

    language: code of the language that the text stage supports, such as en or zh; "" accepts any.
    """

    version = 2
    language: str = "en"

    def __post_init__(self) -> None:
        check_language("subtitles", self.language)

    def run(self, clip: Clip, media: MediaInfo) -> Transcript | PassedOver | None:
        """The words of the best stream of ``media`` within ``clip``."""
        notes: list[str] = []
        for track in sorted(media.captions, key=self._rank):
            why = self._why_not(track)
            if why is not None:
                notes.append(f"subtitle stream {track.stream} was passed over: {why}")
                continue
            written = Written([Cue(cue.text, cue.start, cue.end) for cue in track.cues])
            found = transcript_of(written, clip, media.seconds, "subtitles", self.language, track.language)
            if isinstance(found, Transcript):
                several = [f"{len(media.captions)} subtitle streams; stream {track.stream} is read"]
                told = several if len(media.captions) > 1 else []
                return replace(found, notes=(*notes, *found.notes, *told))
            if found is not None:
                notes += [note.replace("subtitles:", f"subtitle stream {track.stream}:", 1) for note in found.notes]
        return PassedOver(tuple(notes)) if notes else None

    def _rank(self, track: CaptionTrack) -> tuple[bool | int, ...]:
        unstated = track.language is None and bool(self.language)
        return self._why_not(track) is not None, unstated, track.hearing_impaired, not track.default, track.stream

    def _why_not(self, track: CaptionTrack) -> str | None:
        return why_not(track.language, self.language, track.forced, track.commentary)
