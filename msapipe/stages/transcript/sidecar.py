"""Words given with the clip, or in a .json, .vtt, .srt or .txt file beside it (no weights)."""

from __future__ import annotations

from dataclasses import dataclass

from msapipe.sidecars import sidecar_of
from msapipe.stages._base import Stage
from msapipe.stages.transcript._cues import in_span
from msapipe.stages.transcript._formats import read_words
from msapipe.types import Clip, Transcript, Word


@dataclass
class Sidecar(Stage):
    """The words that the caller gave with the clip, else those of the file beside it, else None.

    Files: clip.json, clip.vtt, clip.srt, clip.txt, then clip.mp4.json and so on; the first one counts. Times in a
    file count from the start of the media file (seconds) and are cut and shifted to the clip; a word belongs to the
    clip that holds its middle. Times of cues are shared out among their words by letters and marked as estimated.
    A text without times counts only when the clip is the whole file. Confidence, where the file gives it, is in
    [0, 1]. Sources: "given", "sidecar NAME". Paper: none.

    An empty file says nothing (None). A damaged one, or one over 1 MB, is a MediaError that names file and line.
    """

    def run(self, clip: Clip) -> Transcript | None:
        """The given or written words of ``clip``."""
        if clip.text is not None and clip.text.strip():
            return Transcript(tuple(Word(text) for text in clip.text.split()), source="given")
        path = sidecar_of(clip.path)
        if path is None:
            return None
        words, language = read_words(path)
        inside = in_span(words, clip)
        untimed = any(word.start is None for word in words)
        if not words or (untimed and not inside):
            return None
        return Transcript(inside, language, f"sidecar {path.name}")
