"""Computational sequences of the CMU Multimodal SDK, a folder of .csd files (HDF5; extra csd)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from msapipe.documents import read_json
from msapipe.errors import MsapipeError
from msapipe.formats._base import Format, made_whole
from msapipe.formats._columns import Columns
from msapipe.formats._csd_file import OWN, CsdWriter, entry_of, library
from msapipe.formats._csd_look import opened
from msapipe.safe_paths import member
from msapipe.types import FeatureSequence, Sample

_CLIPS = "clips.json"
_LABELS = "All Labels"
_NAMES = {"M": "sentiment", "T": "sentiment of text", "A": "sentiment of audio", "V": "sentiment of vision"}
# Words in the names of public sequences; the modality's own name comes first, so that users can rename a file to it.
_KNOWN = {
    "labels": ("label",),
    "text": ("text", "word", "glove", "bert"),
    "audio": ("audio", "covarep", "opensmile", "acoustic"),
    "vision": ("vision", "visual", "facet", "openface"),
}


class Csd(Format):
    """One file per channel (``vision_au.csd``), or per modality with a single one; entries are clips, times in seconds.

    Labels are in ``labels.csd`` ("All Labels"), one row over the whole clip. Data without a place in the SDK (original
    ids, videos, splits, words, the origin of the features) are in ``clips.json`` beside, which the SDK ignores.

    Other people's sequences can be read too, a folder or a single file: the file's or root's name gives the modality;
    a sequence of words gives the text; if an entry has several rows of labels, each is a clip ``entry[i]`` whose
    features are cut to its interval and whose times begin at 0, as the SDK aligns. NaN and infinity become 0.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".csd",)
    folder = True
    loses: ClassVar[Mapping[str, str]] = {
        "valid": "a step that was seen and is zero in all columns is read back as not seen",
        "notes": "it has no place for them",
        "tokens": "it has no place for them",
    }

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether it holds .csd files."""
        return any(folder.glob("*.csd"))

    def check(self, path: Path, bare: Iterable[Sample] = ()) -> None:
        """See Format."""
        super().check(path, bare)
        library()

    def write(self, path: Path, samples: Iterable[Sample], made_by: Mapping[str, Any] | None = None) -> int:
        """Write all samples, one in memory at a time, into a new folder."""
        columns, entries = Columns(path), _Entries()
        clips: list[dict[str, Any]] = []
        labels: dict[str, tuple[Mapping[str, float], list[float]]] = {}
        with made_whole(path, self.folder) as work, ExitStack() as at_end:
            sequences = _Sequences(work / "made", at_end)
            for sample in samples:
                columns.check(sample)
                entry = entries.name(sample.id)
                sequences.add(entry, sample)
                if sample.labels:
                    labels[entry] = sample.labels, _span(sample)
                about = {"id": sample.id, "video": sample.video, "split": sample.split, "text": sample.text}
                clips.append({"entry": entry, **about})
            if not clips:
                raise MsapipeError(f"{path}: there is no clip to write")
            sequences.add_labels(labels)
            sequences.finish(columns)
            (work / "made" / _CLIPS).write_text(
                json.dumps({"made_by": dict(made_by or {}), "clips": clips}, indent=1), encoding="utf-8"
            )
        return len(clips)

    def read(self, path: Path) -> Iterator[Sample]:
        """The samples in the order of ``clips.json``, else of the labels, else of the entries."""
        with ExitStack() as at_end:
            clips = _clips(path)
            found = [_Sequence.open(file, at_end) for file in _files(path, bool(clips))]
            if clips and all(sequence.own for sequence in found):
                yield from (_own_sample(found, clip) for clip in clips["clips"])
            else:
                yield from _foreign_samples(path, found)

    def made_by(self, path: Path) -> dict[str, Any]:
        """What the features depend on, if msapipe wrote them."""
        return dict(_clips(path).get("made_by", {}))


def _files(path: Path, may_be_none: bool) -> list[Path]:
    found = sorted(path.glob("*.csd")) if path.is_dir() else [path]
    if not found and not may_be_none:
        raise MsapipeError(f"{path}: expected .csd files in this folder, found none")
    return found


def _clips(path: Path) -> dict[str, Any]:
    file = (path if path.is_dir() else path.parent) / _CLIPS
    if not file.is_file():
        return {}
    try:
        found = read_json(file.read_text(encoding="utf-8"))
        if not all({"entry", "id", "video", "split", "text"} <= set(clip) for clip in found["clips"]):
            raise KeyError("entry, id, video, split or text")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise MsapipeError(f"{file}: damaged: {error}; remove it to read the .csd files without it") from error
    return dict(found)


class _Entries:
    """Unique names for entries, without ``/`` (a nested group in HDF5) and ``[`` (a segment number in the SDK)."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def name(self, clip: str) -> str:
        plain = re.sub(r"[/\[\]\x00-\x1f\ud800-\udfff]|^\.*$", "_", clip)
        name, number = plain, 1
        while name in self._taken:
            number += 1
            name = f"{plain}~{number}"
        self._taken.add(name)
        return name


def _span(sample: Sample) -> list[float]:
    """The start of its first and the end of its last step, in seconds."""
    times = np.concatenate([np.zeros((1, 2)), *(part.times for part in sample.features.values())])
    return [float(times[:, 0].min()), float(times[:, 1].max())]


def _pieces(modality: str, part: FeatureSequence) -> dict[str, tuple[int, int]]:
    """Root name to [first, end) column: one per channel, if the channels fill the columns side by side."""
    whole = {modality: (0, part.values.shape[1])}
    channels = sorted(part.channels.items(), key=lambda item: item[1])
    edges = [0, *(high for _, (_, high) in channels)]
    if len(channels) < 2 or [low for _, (low, _) in channels] != edges[:-1] or edges[-1] != part.values.shape[1]:
        return whole
    return {f"{modality}_{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}": bounds for name, bounds in channels}


class _Sequences:
    """The files being written."""

    def __init__(self, folder: Path, at_end: ExitStack) -> None:
        folder.mkdir()
        self._folder, self._at_end = folder, at_end
        self._writers: dict[str, CsdWriter] = {}
        self._pieces: dict[str, tuple[str, int, int]] = {}

    def _writer(self, root: str, file: str) -> CsdWriter:
        if root not in self._writers:
            self._writers[root] = CsdWriter(self._folder / f"{file}.csd", root)
            self._at_end.callback(self._writers[root].close)
        return self._writers[root]

    def add(self, entry: str, sample: Sample) -> None:
        for modality, part in sample.features.items():
            for root, (low, high) in _pieces(modality, part).items():
                self._pieces[root] = modality, low, high
                self._writer(root, root).add(entry, part.values[:, low:high], part.times)

    def add_labels(self, labels: Mapping[str, tuple[Mapping[str, float], list[float]]]) -> None:
        letters = [letter for letter in _NAMES if any(letter in given for given, _ in labels.values())]
        for entry, (given, span) in labels.items():
            row = np.array([[given.get(letter, np.nan) for letter in letters]])
            self._writer(_LABELS, "labels").add(entry, row, np.array([span]))
        if labels:
            own = {"modality": "labels", "letters": letters}
            about = {"computational sequence description": "labels of clips", OWN: own}
            self._writers[_LABELS].finish({**about, "dimension names": [_NAMES[letter] for letter in letters]})

    def finish(self, columns: Columns) -> None:
        for root, (modality, low, high) in self._pieces.items():
            known = columns.of[modality]
            about = {
                "computational sequence description": f"{root}: features of clips, times from the start of each",
                "dimension names": known["names"][low:high],
                OWN: {"modality": modality, "first": low, "channels": known["channels"]},
            }
            self._writers[root].finish(about)


@dataclass
class _Sequence:
    path: Path
    data: Any
    metadata: Mapping[str, Any]
    modality: str

    @property
    def own(self) -> dict[str, Any]:
        """The metadata that only msapipe writes; {} for other people's sequences."""
        found = self.metadata.get(OWN)
        return found if isinstance(found, dict) and found.get("modality") == self.modality else {}

    @classmethod
    def open(cls, path: Path, at_end: ExitStack) -> _Sequence:
        data, metadata = at_end.enter_context(opened(path))
        own = metadata.get(OWN)
        if isinstance(own, dict) and own.get("modality") in _KNOWN:
            return cls(path, data, metadata, own["modality"])
        for name in (path.stem.lower(), str(metadata["root name"]).lower()):
            for modality, words in _KNOWN.items():
                if any(word in name for word in words):
                    return cls(path, data, metadata, modality)
        raise MsapipeError(
            f"{path}: cannot tell whether {metadata['root name']!r} is text, audio, vision or labels; "
            "let the file's name begin with one of them"
        )

    def entry(self, name: str) -> tuple[NDArray[Any], NDArray[np.float64]] | None:
        return entry_of(self.path, self.data, name) if name in self.data else None


def _own_sample(found: list[_Sequence], clip: Mapping[str, Any]) -> Sample:
    features: dict[str, FeatureSequence] = {}
    labels: dict[str, float] = {}
    for modality in ("text", "audio", "vision"):
        files = sorted((s for s in found if s.modality == modality), key=lambda s: int(s.own["first"]))
        there = [(file, *entry) for file in files if (entry := file.entry(clip["entry"])) is not None]
        if there:
            values = np.concatenate([values for _, values, _ in there], axis=1)
            names = tuple(name for file, _, _ in there for name in file.metadata["dimension names"])
            channels = {name: (low, high) for name, (low, high) in files[0].own["channels"].items()}
            features[modality] = _sequence(values, there[0][2], names, channels)
    for file in found:
        if file.modality == "labels" and (entry := file.entry(clip["entry"])) is not None:
            row = zip(file.own["letters"], entry[0][0].tolist(), strict=True)
            labels |= {letter: value for letter, value in row if np.isfinite(value)}
    return Sample(clip["id"], features, labels, clip["split"], clip["video"], clip["text"])


def _foreign_samples(path: Path, found: list[_Sequence]) -> Iterator[Sample]:
    """Clips of other people's sequences: one per row of the labels, or one per entry."""
    words = [sequence for sequence in found if _is_words(sequence)]
    by_modality: dict[str, _Sequence] = {}
    for sequence in (sequence for sequence in found if sequence not in words):
        other = by_modality.setdefault(sequence.modality, sequence)
        if other is not sequence:
            raise MsapipeError(
                f"{path}: {other.path.name} and {sequence.path.name} are both {sequence.modality}; keep one"
            )
    labels = by_modality.pop("labels", None)
    for entry in labels.data if labels else dict.fromkeys(name for part in found for name in part.data):
        parts = {name: each for name, part in by_modality.items() if (each := part.entry(entry)) is not None}
        said = next((each for part in words if (each := part.entry(entry)) is not None), None)
        video = entry.partition("[")[0]
        given = labels.entry(entry) if labels else None
        if given is None:
            whole = {name: _sequence(*_sorted(*part)) for name, part in parts.items()}
            yield Sample(entry, whole, video=video, text=_text(said))
            continue
        for number, (row, span) in enumerate(zip(*given, strict=True)):
            cut = {name: _sequence(*_cut(*_sorted(*part), span)) for name, part in parts.items()}
            text = _text(None if said is None else _cut(*_sorted(*said), span))
            name = entry if "[" in entry else f"{entry}[{number}]"
            yield Sample(name, cut, {"M": float(row[0])} if np.isfinite(row[0]) else {}, None, video, text)


def _is_words(sequence: _Sequence) -> bool:
    first = next(iter(sequence.data), None)
    entry = member(sequence.data, first) if first is not None else {}
    return "features" in entry and member(entry, "features").dtype.kind in "SO"


def _text(said: tuple[NDArray[Any], NDArray[np.float64]] | None) -> str:
    """The words without the SDK's mark for a pause."""
    words = [] if said is None else said[0][:, 0].tolist()
    plain = (word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in words)
    return " ".join(word for word in plain if word != "sp")


def _sorted(values: NDArray[Any], times: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    order = np.argsort(times[:, 0], kind="stable")
    return values[order], times[order]


def _cut(
    values: NDArray[Any], times: NDArray[np.float64], span: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The rows within a span, with times from its start."""
    start, end = span
    inside = (times[:, 1] > start) & (times[:, 0] < end)
    return values[inside], np.clip(times[inside], start, end) - start


def _sequence(
    values: NDArray[Any],
    times: NDArray[np.float64],
    names: tuple[str, ...] = (),
    channels: Mapping[str, tuple[int, int]] | None = None,
) -> FeatureSequence:
    rows = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return FeatureSequence(rows, times, np.asarray(rows.any(axis=1)), names, channels or {})
