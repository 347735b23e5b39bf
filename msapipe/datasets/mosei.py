"""CMU-MOSEI: label.csv and Raw/, or the whole videos with their transcripts as CMU hands them out; English."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msapipe.datasets._base import Example, Refused
from msapipe.datasets.table import Table
from msapipe.types import Clip

TRANSCRIPTS = Path("Raw/Transcript/Segmented/Combined")
VIDEOS = Path("Raw/Videos/Full/Combined")


class Mosei(Table):
    """23,453 utterances of 3,228 videos (Zadeh et al., 2018), labels in [-3, 3].

    With label.csv it is a table. Without one, each line "video___number___start___end___text" of
    Raw/Transcript/Segmented/Combined/<video>.txt is a stretch of Raw/Videos/Full/Combined/<video>.mp4; labels are in
    a .csd file of their own there, so these clips have none. Ids are "video/number".
    """

    scale = (-3.0, 3.0)
    language = "en"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """CMU's layout; label.csv is the table's."""
        return (root / TRANSCRIPTS).is_dir() and not super().recognises(root)

    def read(self) -> Iterator[Example | Refused]:
        """Video by video; see Reader."""
        if not type(self).recognises(self.root):
            yield from super().read()
            return
        for transcript in sorted((self.root / TRANSCRIPTS).glob("*.txt")):
            yield from self._video(transcript)

    def _video(self, transcript: Path) -> Iterator[Example | Refused]:
        video = self.root / VIDEOS / f"{transcript.stem}.mp4"
        if not video.is_file():
            yield Refused(video, f"a missing video: {transcript.name} has its words", skipped=False)
            return
        text = transcript.read_text(encoding="utf-8-sig", errors="replace")
        for line, entry in enumerate(text.splitlines(), 1):
            parts = entry.split("___", 4)
            try:
                name, number, start, end, words = parts
                clip = Clip(f"{name}/{number}", video, float(start), float(end), words.strip() or None)
            except ValueError:
                wanted = "expected video___number___start___end___text"
                yield Refused(transcript, f"line {line}: found {entry[:60]!r}, {wanted}", skipped=False)
                continue
            yield Example(clip, video=name)
