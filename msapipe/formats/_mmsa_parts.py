"""The clips of a pickle of MMSA or a related one, field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MsapipeError
from msapipe.formats import _example_lists, _fields
from msapipe.formats._fields import Numbers, Remarks
from msapipe.formats._mmsa_splits import LABELS, MODALITIES, SPLITS
from msapipe.formats._safe_pickle import as_text, read_plain
from msapipe.types import FeatureSequence, Sample
from msapipe.types.splits import split_named

# The labelled and the unlabelled training clips of CH-SIMS v2 together.
MIXED = "train_mix"
_CALLED = {
    "id": ("id", "ids"),
    "audio": ("audio", "acoustic"),
    "vision": ("vision", "visual"),
    "text": ("text", "language"),
    "regression_labels": ("regression_labels", "labels", "label"),
}

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class _Fields:
    """The validated fields of a split, one row per clip.   lengths: None where the values themselves must tell."""

    ids: list[str]
    parts: Mapping[str, Sequence[Numbers]]
    lengths: Mapping[str, Sequence[int | None]]
    labels: Mapping[str, NDArray[np.float64]]
    texts: Sequence[str]
    tokens: Sequence[NDArray[np.int64]] | None


class Parts:
    """A file read as a whole; ``remarks`` collects notes for the user."""

    def __init__(self, path: Path, remarks: Remarks) -> None:
        self._path, self._remarks = path, remarks
        self._taken: set[str] = set()
        self._homes: dict[str, str] = {}
        self._example = ""

    def samples(self) -> Iterator[Sample]:
        """Every clip once, split by split; raises MsapipeError naming the invalid split and key."""
        found = self._splits(read_plain(self._path))
        for name in (*SPLITS, MIXED):
            if name in found:
                yield from self._clips(name, self._fields(*found[name]), "train" in found)

    def _splits(self, data: Any) -> dict[str, tuple[str, Any]]:
        """train, valid, test and train_mix to the file's name for each and its content."""
        found: dict[str, tuple[str, Any]] = {}
        for key, value in data.items() if isinstance(data, dict) else ():
            name = as_text(key) if isinstance(key, str | bytes) else repr(key)
            split = MIXED if name.strip().casefold() == MIXED else split_named(name)
            if split is None and _holds_clips(value):
                raise MsapipeError(
                    f"{self._path}: nobody knows which split {name!r} is; name it train, valid or test, or leave it out"
                )
            if split is None:
                self._remarks.add(f"the key {name!r} is not read")
            elif split in found:
                raise MsapipeError(f"{self._path}: {found[split][0]!r} and {name!r} are both {split}; rename one")
            else:
                found[split] = name, value
        if not found:
            raise MsapipeError(
                f"{self._path}: not a pickle of MMSA: expected a dictionary with train, valid and test, "
                f"found {_keys(data)}"
            )
        return found

    def _fields(self, name: str, data: Any) -> _Fields:
        if isinstance(data, list | tuple):
            data = self._try(name, "examples", lambda: _example_lists.columns(data, self._remarks))
        if not isinstance(data, dict):
            raise MsapipeError(f"{self._path}: {name}: expected a dictionary with the key 'id', found {_keys(data)}")
        data = {as_text(key) if isinstance(key, str | bytes) else repr(key): value for key, value in data.items()}
        own = {
            meaning: next((key for key in names if data.get(key) is not None), "") for meaning, names in _CALLED.items()
        }
        if not own["id"]:
            raise MsapipeError(f"{self._path}: {name}: expected the key 'id', found {_keys(data)}")
        ids = self._try(name, own["id"], lambda: _fields.names(data[own["id"]]))

        def read(key: str, how: Callable[[Any, int], _Value]) -> _Value | None:
            if data.get(key) is None:
                return None
            return self._try(name, key, lambda: how(data[key], len(ids)))

        parts = {part: read(own[part], _fields.sequences) for part in MODALITIES}
        there = {part: values for part, values in parts.items() if values is not None}
        keys = {letter: own.get(key, key) for letter, key in LABELS.items()}
        labels = {letter: read(key, _fields.labels) for letter, key in keys.items()}
        tokens = read("text_bert", lambda value, count: _fields.tokens(value, count, self._remarks))
        given = {part: read(f"{own[part]}_lengths", _fields.lengths) for part in there}
        mask = read("mask", _fields.one_number_each) if name.strip().casefold() == MIXED else None
        return _Fields(
            ids,
            there,
            {part: self._lengths(part, there, given[part], tokens) for part in there},
            {
                letter: values if mask is None else np.where(mask != 0, values, np.nan)
                for letter, values in labels.items()
                if values is not None
            },
            read("raw_text", _fields.texts) or [""] * len(ids),
            tokens,
        )

    def _try(self, split: str, key: str, read: Callable[[], _Value]) -> _Value:
        try:
            return read()
        except ValueError as error:
            said = str(error)
            verb = "has" if " rows for " in said and said[0].isdigit() else "is"
            sep = ": " if said.startswith("row") else f" {verb} "
            raise MsapipeError(f"{self._path}: {split}: {key}{sep}{said}") from error

    def _lengths(
        self,
        name: str,
        parts: Mapping[str, Sequence[Numbers]],
        given: NDArray[np.int64] | None,
        tokens: Sequence[NDArray[np.int64]] | None,
    ) -> list[int | None]:
        """The number of valid steps of each clip, where the file states a plausible one."""
        if given is not None or tokens is None:
            return _fields.believed(given, name, parts[name], self._remarks)
        out: list[int | None] = []
        for row, token in enumerate(tokens):
            aligned = all(len(each[row]) == token.shape[1] for each in parts.values())
            count = int(token[1].sum()) if name == "text" or aligned else 0
            out.append(min(count, len(parts[name][row])) or None)
        return out

    def _clips(self, split: str, fields: _Fields, beside: bool) -> Iterator[Sample]:
        """The clips of a split. beside: whether there is also a train split, whose clips train_mix repeats."""
        again = set(self._homes) if split == MIXED and beside else set()
        home = "train" if split == MIXED else split
        for row, clip in enumerate(fields.ids):
            if clip in again and self._homes[clip] == "train":
                self._remarks.add(f"{{n}} clips of {MIXED} are in train already, and are read once")
                continue
            yield Sample(
                self._own_name(clip, home),
                {
                    name: self._sequence(name, values[row], fields.lengths[name][row])
                    for name, values in fields.parts.items()
                },
                {letter: float(values[row]) for letter, values in fields.labels.items() if np.isfinite(values[row])},
                home,
                clip.partition("$_$")[0],
                fields.texts[row],
                None if fields.tokens is None else fields.tokens[row],
            )

    def _own_name(self, clip: str, split: str) -> str:
        """The id, with a number appended if another clip already has it."""
        first = self._homes.setdefault(clip, split)
        name, number = clip, 1
        while name in self._taken:
            number += 1
            name = f"{clip}#{number}"
        self._taken.add(name)
        if number > 1:
            self._example = self._example or clip
            self._remarks.add(f"{{n}} clips have the id of another (as {self._example}); it gets #2, #3 ... at its end")
            if first != split:
                self._remarks.add("{n} ids stand in several splits: a score may be that of clips that were trained on")
        return name

    def _sequence(self, name: str, values: Numbers, length: int | None) -> FeatureSequence:
        with np.errstate(over="ignore"):
            rows = np.asarray(values).astype(np.float32)
        odd = int((~np.isfinite(rows)).sum())
        if odd:
            self._remarks.add(f"{{n}} numbers of {name} are NaN or infinite, and are read as 0", odd)
            rows = np.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
        seen = np.asarray(rows.any(axis=1))
        if length is None:
            length = int(np.flatnonzero(seen)[-1]) + 1 if seen.any() else 0
        start = np.arange(length, dtype=np.float64)
        return FeatureSequence(rows[:length], np.stack([start, start + 1], axis=1), seen[:length])


def _holds_clips(value: Any) -> bool:
    """Whether a top-level value of a file is a split with a name of its own."""
    if isinstance(value, dict):
        return any(key in value for key in (*_CALLED["id"], b"id", *MODALITIES))
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], list | tuple)


def _keys(data: Any) -> str:
    if not isinstance(data, dict):
        return f"a {type(data).__name__}"
    return "the keys " + (", ".join(map(repr, list(data)[:6])) or "none")
