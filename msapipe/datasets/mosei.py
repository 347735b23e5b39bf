"""CMU-MOSEI: label.csv and Raw/, or the whole videos with their transcripts as CMU distributes them; English."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msapipe.datasets._base import Example, Refused
from msapipe.datasets.table import Table
from msapipe.safe_paths import member
from msapipe.types import Clip

TRANSCRIPTS = Path("Raw/Transcript/Segmented/Combined")
VIDEOS = Path("Raw/Videos/Full/Combined")
# Transcripts and labels may differ by milliseconds: the overlap of two intervals (of their union) that counts as equal.
_SAME_STRETCH = 0.5

# (start, end, sentiment) of the labelled stretches of a video, in seconds.
Stretches = list[tuple[float, float, float]]


class Mosei(Table):
    """23,453 utterances of 3,228 videos (Zadeh et al., 2018), labels in [-3, 3].

    With label.csv it is a table. Without one, each line "video___number___start___end___text" of
    Raw/Transcript/Segmented/Combined/<video>.txt is a stretch of Raw/Videos/Full/Combined/<video>.mp4. Its label is
    that of the interval with the largest overlap (more than half of the union) in CMU_MOSEI_Labels.csd, or in another
    .csd with "label" in its name, below the root (needs h5py); no file, no labels. Ids are "video/number".
    """

    scale = (-3.0, 3.0)
    language = "en"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the folder has CMU's layout; one with label.csv is read as a table."""
        return (root / TRANSCRIPTS).is_dir() and not super().recognises(root)

    def read(self) -> Iterator[Example | Refused]:
        """Video by video; see DatasetReader."""
        if not type(self).recognises(self.root):
            yield from super().read()
            return
        labels: dict[str, Stretches] = {}
        for file in _label_files(self.root)[:1]:
            if outside := self.refuse_outside(file):
                yield outside
                continue
            try:
                labels = _read(file)
            except (ImportError, OSError, LookupError, RuntimeError, TypeError, ValueError) as error:
                needs = ' (type: uv pip install "msapipe[csd]")' if isinstance(error, ImportError) else ""
                yield Refused(file, f"labels cannot be read{needs}: {error}; clips come without", skipped=False)
        for transcript in sorted((self.root / TRANSCRIPTS).glob("*.txt")):
            yield from self._video(transcript, labels.get(transcript.stem, []))

    def _video(self, transcript: Path, labels: Stretches) -> Iterator[Example | Refused]:
        video = self.root / VIDEOS / f"{transcript.stem}.mp4"
        if not video.is_file():
            yield Refused(video, f"a missing video: {transcript.name} has its words", skipped=False)
            return
        if outside := self.refuse_outside(transcript) or self.refuse_outside(video):
            yield outside
            return
        text = transcript.read_text(encoding="utf-8-sig", errors="replace")
        for line, entry in enumerate(text.splitlines(), 1):
            try:
                clip = _clip(video, entry)
                label = _label(labels, clip)
                self.check_scale(clip.id, label)
            except ValueError as error:
                yield Refused(transcript, f"line {line}: {error}", skipped=False)
                continue
            yield Example(clip, label, video=clip.id.rpartition("/")[0])


def _clip(video: Path, entry: str) -> Clip:
    """The stretch of a line; raises ValueError."""
    try:
        name, number, start, end, words = entry.split("___", 4)
        return Clip(f"{name}/{number}", video, float(start), float(end), words.strip() or None)
    except ValueError:
        raise ValueError(f"found {entry[:60]!r}, expected video___number___start___end___text") from None


def _label_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.csd") if "label" in path.name.lower())


def _read(file: Path) -> dict[str, Stretches]:
    """Labelled stretches by video, from a computational sequence whose first column is the sentiment."""
    import h5py

    found: dict[str, Stretches] = {}
    with h5py.File(file, "r") as sequences:
        data: Any = member(member(sequences, next(iter(sequences))), "data")
        for video in data:
            entry = member(data, video)
            spans, columns = member(entry, "intervals")[()], member(entry, "features")[()]
            rows = zip(spans.tolist(), columns.tolist(), strict=True)
            found[video] = [(float(span[0]), float(span[1]), float(row[0])) for span, row in rows]
    return found


def _label(stretches: Stretches, clip: Clip) -> dict[str, float]:
    """The label of the interval that matches the clip's, if there is one and its label is a number."""
    start, end = clip.start, clip.end or math.inf

    def shared(stretch: tuple[float, float, float]) -> float:
        both = max(end, stretch[1]) - min(start, stretch[0])
        return (min(end, stretch[1]) - max(start, stretch[0])) / both

    best = max(stretches, key=shared, default=None)
    if best is None or shared(best) <= _SAME_STRETCH or not math.isfinite(best[2]):
        return {}
    return {"M": best[2]}
