"""MELD: train, dev and test_sent_emo.csv with a folder of clips each; three classes of sentiment as -1, 0, 1."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from msapipe.datasets._base import DatasetReader, Example, Refused, Split
from msapipe.types import Clip

# Table, split, and the folders into which the archive's clips are unpacked.
PARTS = (
    ("train_sent_emo.csv", "train", ("train_splits", "train")),
    ("dev_sent_emo.csv", "valid", ("dev_splits_complete", "dev")),
    ("test_sent_emo.csv", "test", ("output_repeated_splits_test", "test")),
)
SENTIMENTS = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}


class Meld(DatasetReader):
    """13,708 utterances of the series Friends (Poria et al., 2019): Dialogue_ID, Utterance_ID, Utterance, Sentiment.

    A clip is dia<D>_utt<U>.mp4; its id is "split/dia<D>_utt<U>", its video the dialogue. The same speakers appear in
    all splits, as the authors made them.
    """

    scale = (-1.0, 1.0)
    language = "en"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the training split's table exists."""
        return (root / PARTS[0][0]).is_file()

    def read(self) -> Iterator[Example | Refused]:
        """Split by split; see DatasetReader."""
        for name, split, folders in PARTS:
            table = self.root / name
            if not table.is_file():
                yield Refused(table, "a missing table", skipped=False)
                continue
            if outside := self.refuse_outside(table):
                yield outside
                continue
            folder = next((self.root / one for one in folders if (self.root / one).is_dir()), self.root / folders[0])
            with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                reader = csv.DictReader(file)
                for entry in reader:
                    found = _one(table, reader.line_num, entry, cast("Split", split), folder)
                    outside = self.refuse_outside(found.clip.path) if isinstance(found, Example) else None
                    yield outside or found


def _one(table: Path, line: int, entry: Mapping[str, str | None], split: Split, folder: Path) -> Example | Refused:
    dialogue, utterance = (str(entry.get(name) or "").strip() for name in ("Dialogue_ID", "Utterance_ID"))
    sentiment = str(entry.get("Sentiment") or "").strip().lower()
    if not (dialogue.isdigit() and utterance.isdigit()):
        return Refused(table, f"line {line}: Dialogue_ID {dialogue!r}, Utterance_ID {utterance!r}", skipped=False)
    if sentiment not in SENTIMENTS:
        known = ", ".join(SENTIMENTS)
        return Refused(table, f"line {line}: Sentiment is {sentiment!r}, expected one of {known}", skipped=False)
    path = folder / f"dia{dialogue}_utt{utterance}.mp4"
    if not path.is_file():
        return Refused(table, f"line {line}: there is no file {path}", skipped=False)
    clip = Clip(f"{split}/{path.stem}", path, text=str(entry.get("Utterance") or "").strip() or None)
    return Example(clip, {"M": SENTIMENTS[sentiment]}, split, f"{split}/dia{dialogue}")
