"""Word times by spreading the words over the clip by letters (no weights; the last resort)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from msapipe.stages._base import Stage
from msapipe.stages._spread import fill_gaps
from msapipe.types import Clip, MediaInfo, Transcript


@dataclass
class Spread(Stage):
    """The Transcript with times (seconds) for every word: known and estimated ones stay, others are interpolated.

    Words without times divide the gap between their timed neighbours by letters; at the ends, the gap to the clip's
    start and end; if the length of the clip is not declared, 0.4 s per word. They are marked as estimated. Never None.
    Paper: none.
    """

    def run(self, transcript: Transcript, clip: Clip, media: MediaInfo) -> Transcript:
        """The same words, all with start and end."""
        end = clip.end if clip.end is not None else media.seconds
        seconds = None if end is None else end - clip.start
        if seconds is not None and not 0 < seconds < 1e6:  # a container may declare anything
            seconds = None
        return replace(transcript, words=fill_gaps(transcript.words, seconds))
