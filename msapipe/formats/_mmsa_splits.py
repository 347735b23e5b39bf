"""The content of an MMSA pickle: the clips of each split, their values on disk until the longest is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MsapipeError
from msapipe.formats._plain_pickle import PlainPickle
from msapipe.types import Sample

LABELS = {
    "M": "regression_labels",
    "T": "regression_labels_T",
    "A": "regression_labels_A",
    "V": "regression_labels_V",
}
MODALITIES = ("text", "audio", "vision")
SPLITS = ("train", "valid", "test")
_ANNOTATIONS = ("Negative", "Neutral", "Positive")


@dataclass
class _Split:
    spools: dict[str, BinaryIO]
    ids: dict[str, str] = field(default_factory=dict)  # MMSA's ids to ours
    texts: list[str] = field(default_factory=list)
    labels: list[Mapping[str, float]] = field(default_factory=list)
    lengths: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in (*MODALITIES, "text_bert")})


def split_of(path: Path, sample: Sample) -> str:
    """The split of a clip; raises MsapipeError if it has no split or no label."""
    if sample.split is None:
        raise MsapipeError(f"{path}: clip {sample.id} is in no split, which MMSA needs; {_MEND_SPLIT}")
    if "M" not in sample.labels:
        raise MsapipeError(f"{path}: clip {sample.id} has no label, which MMSA needs; {_MEND_LABEL}")
    return sample.split


def check_splits(path: Path, filled: set[str]) -> None:
    """Raise MsapipeError unless each split has clips."""
    for name in SPLITS:
        if name not in filled:
            raise MsapipeError(f"{path}: no clip is in {name}; MMSA needs train, valid and test; {_MEND_SPLIT}")


class Splits:
    """``add`` clips, then ``write`` them. steps: modality to the length of all clips; default: the longest clip's."""

    def __init__(self, path: Path, work: Path, steps: Mapping[str, int] | None) -> None:
        self._path, self._asked = path, steps
        names = (*MODALITIES, "text_bert")
        self._splits = {
            split: _Split({name: (work / f"{split}.{name}").open("w+b") for name in names}) for split in SPLITS
        }
        self._widths: dict[str, tuple[int, str]] = {}
        self._aligned = True

    def add(self, sample: Sample) -> None:
        """Add a clip; raises MsapipeError when MMSA cannot hold it."""
        own = self._splits[split_of(self._path, sample)]
        name = mmsa_id(sample)
        other = next((split.ids[name] for split in self._splits.values() if name in split.ids), None)
        if other is not None:
            raise MsapipeError(f"{self._path}: clips {other} and {sample.id} would both be called {name}; rename one")
        own.ids[name] = sample.id
        own.texts.append(sample.text)
        own.labels.append(sample.labels)
        lengths = {part: len(sample.features[part].values) if part in sample.features else 0 for part in MODALITIES}
        self._aligned &= len({count for count in lengths.values() if count}) <= 1
        for part in MODALITIES:
            own.lengths[part].append(lengths[part])
            if part in sample.features:
                self._keep(own, part, sample, sample.features[part].values)
        tokens = _tokens(sample)
        own.lengths["text_bert"].append(0 if tokens is None else tokens.shape[1])
        if tokens is not None:
            self._keep(own, "text_bert", sample, tokens.T.astype(np.float32))

    def _keep(self, own: _Split, part: str, sample: Sample, values: NDArray[np.float32]) -> None:
        width, first = self._widths.setdefault(part, (values.shape[1], sample.id))
        if width != values.shape[1]:
            raise MsapipeError(
                f"{self._path}: clip {sample.id}: {part} has {values.shape[1]} columns, that of {first} has {width}"
            )
        own.spools[part].write(np.ascontiguousarray(values, "<f4").tobytes())

    def write(self, file: BinaryIO) -> None:
        """Write the pickle; raises MsapipeError when a split or a modality has no clip."""
        self._check()
        steps = self._steps()
        to = PlainPickle(file)
        to.begin_dict()
        for name, split in self._splits.items():
            to.text(name)
            self._write_split(to, split, steps)
        to.end_dict()
        to.close()

    def _check(self) -> None:
        check_splits(self._path, {name for name, split in self._splits.items() if split.ids})
        for split in self._splits.values():
            bare = [
                clip for clip, count in zip(split.ids.values(), split.lengths["text_bert"], strict=True) if not count
            ]
            if "text_bert" in self._widths and bare:
                raise MsapipeError(f"{self._path}: clip {bare[0]} has no token ids and others have; give all or none")
        for part in MODALITIES:
            if part not in self._widths:
                raise MsapipeError(f"{self._path}: no clip has {part}; MMSA's loader needs {', '.join(MODALITIES)}")

    def _steps(self) -> dict[str, int]:
        """Steps of every clip, at least 1: as requested, or the longest; one number for all modalities if aligned."""
        if self._asked:
            return {**self._asked, "text_bert": self._asked["text"]}
        longest = {
            part: max(1, *(max(split.lengths[part]) for split in self._splits.values()))
            for part in (*MODALITIES, "text_bert")
        }
        longest["text"] = longest["text_bert"] = max(longest["text"], longest["text_bert"])
        return dict.fromkeys(longest, max(longest.values())) if self._aligned else longest

    def _write_split(self, to: PlainPickle, split: _Split, steps: Mapping[str, int]) -> None:
        count = len(split.ids)
        to.begin_dict()
        for key, texts in {"id": list(split.ids), "raw_text": split.texts}.items():
            to.text(key)
            to.list_of(texts)
        for part in MODALITIES:
            to.text(part)
            to.array((count, steps[part], self._widths[part][0]), self._padded(split, part, steps[part]))
            to.text(f"{part}_lengths")
            # MMSA packs sequences, which fails on empty ones: a missing modality is one step of zeros.
            to.list_of(min(max(length, 1), steps[part]) for length in split.lengths[part])
        if "text_bert" in self._widths:
            to.text("text_bert")
            rows = self._padded(split, "text_bert", steps["text_bert"])
            to.array((count, 3, steps["text_bert"]), (block.T for block in rows))
        scores = [labels["M"] for labels in split.labels]
        classes = [1 + (score > 0) - (score < 0) for score in scores]
        to.text("annotations")
        to.list_of(_ANNOTATIONS[number] for number in classes)
        to.text("classification_labels")
        to.array((count,), [np.array(classes, np.float32)])
        for letter, key in LABELS.items():
            if any(letter in labels for each in self._splits.values() for labels in each.labels):
                to.text(key)
                to.array((count,), [np.array([labels.get(letter, np.nan) for labels in split.labels], np.float32)])
        to.end_dict()

    def _padded(self, split: _Split, part: str, steps: int) -> Iterator[NDArray[np.float32]]:
        """(steps, width) for each clip, cut, or padded with zeros."""
        width, spool = self._widths[part][0], split.spools[part]
        spool.seek(0)
        for length in split.lengths[part]:
            rows = np.frombuffer(spool.read(4 * width * length), "<f4").reshape(length, width)[:steps]
            block = np.zeros((steps, width), np.float32)
            block[: len(rows)] = rows
            yield block

    def close(self) -> None:
        """Close the files on disk."""
        for split in self._splits.values():
            for spool in split.spools.values():
                spool.close()


_MEND_SPLIT = "give every clip a mode in label.csv, or write a .safetensors and type msapipe convert --make-splits"
_MEND_LABEL = "write a .safetensors and type msapipe convert --labels label.csv, or --only-labelled to leave it out"


def mmsa_id(sample: Sample) -> str:
    """``video$_$clip`` from the id, without suffix and leading Raw; a clip of an unknown video keeps its id.

    ``sample.video`` is not used: it may be another video with the same speaker.
    """
    if "$_$" in sample.id or sample.video == sample.id:
        return sample.id
    *folders, clip = PurePosixPath(sample.id.lstrip("/")).with_suffix("").parts
    folders = folders[1:] if folders[:1] == ["Raw"] else folders
    return f"{'/'.join(folders) or sample.video}$_${clip}"


def _tokens(sample: Sample) -> NDArray[np.int64] | None:
    """(3, L): ids, mask and segments, if the clip has them or its text features come from the stage text/tokens."""
    if sample.tokens is not None or "text" not in sample.features:
        return sample.tokens
    text = sample.features["text"]
    if (
        tuple(name.rpartition(".")[2] for name in text.names) != ("input_id", "token_type", "word")
        or not text.valid.any()
    ):
        return None
    ids, segments, _ = text.values.astype(np.int64).T
    return np.stack([ids, text.valid.astype(np.int64), segments])
