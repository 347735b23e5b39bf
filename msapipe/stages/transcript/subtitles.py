"""Words of the text subtitles inside the file (no weights)."""

from __future__ import annotations

from dataclasses import dataclass

from msapipe.stages._base import Stage
from msapipe.stages.transcript._cues import in_span, words_of_cue
from msapipe.types import Clip, MediaInfo, Transcript


@dataclass
class Subtitles(Stage):
    """The cues of the embedded text subtitle stream as a Transcript, or None for a file without one.

    A cue's seconds are shared out among its words by letters: all times are estimated. They are seconds from the
    clip's start; a word belongs to the clip that holds its middle. A stretch without cues has no words: a Transcript
    with none. Tags are stripped. The language is not known. Source: "subtitles". Paper: none.
    """

    def run(self, clip: Clip, media: MediaInfo) -> Transcript | None:
        """The words of the cues of ``media`` that fall into ``clip``."""
        if not media.captions:
            return None
        words = [word for cue in media.captions for word in words_of_cue(cue)]
        return Transcript(in_span(words, clip), source="subtitles")
