"""Word times that the transcript already has (no weights)."""

from __future__ import annotations

from dataclasses import dataclass

from msapipe.stages._base import Stage
from msapipe.types import Transcript


@dataclass
class Given(Stage):
    """The Transcript unchanged if every word's times (seconds) were given or measured, or if there are no words.

    None if a word has no times or estimated ones: another stage is asked to find them. Paper: none.
    """

    def run(self, transcript: Transcript) -> Transcript | None:
        """The same transcript, or None."""
        return transcript if all(word.timed for word in transcript.words) else None
