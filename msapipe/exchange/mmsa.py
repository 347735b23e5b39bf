"""The pickle of MMSA (Mao et al., 2022), read without running anything in it: numpy arrays, text and numbers only."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MsapipeError
from msapipe.exchange._base import Exchange
from msapipe.exchange._mmsa_splits import LABELS, MODALITIES, SPLITS, Splits, check_splits, split_of
from msapipe.exchange._whole import made_whole
from msapipe.types import FeatureSequence, Sample

# All that such a file may name. Everything else, and so every piece of code, is refused.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class Mmsa(Exchange):
    """{"train", "valid", "test"} to arrays of all clips: ids ``video$_$clip``, features (N, T, D), labels (N,).

    text_bert (N, 3, L): token ids, mask and segments. A step counts up to the clip's length (``audio_lengths`` where
    there are any, else the mask of ``text_bert``, else the last row that is not zero); a zero row before it is a step
    at which nothing was seen. NaN and infinity become 0. The format holds no times: step i is written [i, i + 1).

    Written are all keys that MMSA's loader reads in either setting of ``need_data_aligned``, float32, and the lengths
    of text too. Clips are filled up with zeros to the longest, or to ``steps`` ({"text": 50, "audio": 500, "vision":
    375}), at which longer ones are cut; where all modalities of every clip have as many steps, all arrays have (an
    aligned file). A modality that a clip lacks is one step of zeros. A file is written in a stream and read as a whole.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".pkl", ".pickle")
    loses: ClassVar[Mapping[str, str]] = {
        "times": "step i is read back as second i to i + 1",
        "valid": "a step that was seen and is zero in all columns is read back as not seen",
        "names": "columns have no names in it",
        "channels": "columns of several stages stand side by side",
        "notes": "it has no place for them",
        "made_by": "models trained on it do not know which recipe made the features",
    }

    def __init__(self, steps: Mapping[str, int] | None = None) -> None:
        self.steps = steps

    def check(self, path: Path, bare: Iterable[Sample] = ()) -> None:
        """See Exchange."""
        super().check(path, bare)
        if splits := {split_of(path, sample) for sample in bare}:
            check_splits(path, splits)

    def write(self, path: Path, samples: Iterable[Sample], made_by: Mapping[str, Any] | None = None) -> int:
        """Write clips, each with a label and a split; raises MsapipeError for what MMSA cannot load."""
        count = 0
        with made_whole(path) as work, closing(Splits(path, work, self.steps)) as splits:
            for sample in samples:
                splits.add(sample)
                count += 1
            with (work / "made").open("wb") as file:
                splits.write(file)
        return count

    def read(self, path: Path) -> Iterator[Sample]:
        """All clips, split by split; raises MsapipeError naming the split and key that does not fit."""
        splits = _load(path)
        for split in SPLITS:
            if split in splits:
                yield from _samples(path, split, splits[split])


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Only what makes numpy arrays."""
        if (module, name) not in _ALLOWED:
            raise MsapipeError(f"it names {module}.{name}: a feature file holds arrays, text and numbers, never code")
        return super().find_class(module, name)


def _load(path: Path) -> dict[str, dict[str, Any]]:
    try:
        with path.open("rb") as file:
            found = _Reader(file).load()
    except MsapipeError as error:
        raise MsapipeError(f"{path}: refused: {error}") from error
    except Exception as error:  # a damaged pickle fails in ways of its own
        raise MsapipeError(f"{path}: not a pickle of MMSA: {type(error).__name__}: {error}") from error
    if not isinstance(found, dict) or not set(SPLITS) & set(found):
        raise MsapipeError(f"{path}: not a pickle of MMSA: expected a dictionary with train, valid and test")
    return found


def _samples(path: Path, split: str, data: dict[str, Any]) -> Iterator[Sample]:
    if not isinstance(data, dict) or "id" not in data:
        raise MsapipeError(f"{path}: {split}: expected a dictionary with the key 'id'")
    ids = [str(item) for item in np.asarray(data["id"]).tolist()]
    arrays = {name: _array(path, split, name, data[name], len(ids)) for name in MODALITIES if name in data}
    labels = {
        letter: np.asarray(data[key], np.float32).ravel() for letter, key in LABELS.items() if data.get(key) is not None
    }
    for letter, values in labels.items():
        if len(values) != len(ids):
            raise MsapipeError(f"{path}: {split}: {LABELS[letter]} has {len(values)} rows for {len(ids)} ids")
    texts = data.get("raw_text")
    for row, clip in enumerate(ids):
        yield Sample(
            clip,
            {name: _sequence(values[row], _length(data, name, row)) for name, values in arrays.items()},
            {letter: float(values[row]) for letter, values in labels.items() if np.isfinite(values[row])},
            split,
            clip.partition("$_$")[0],
            str(texts[row]) if texts is not None else "",
            np.asarray(data["text_bert"][row], np.int64) if data.get("text_bert") is not None else None,
        )


def _array(path: Path, split: str, name: str, values: Any, count: int) -> NDArray[np.float32]:
    found = np.asarray(values)
    if found.ndim == 2:  # one vector a clip
        found = found[:, None, :]
    if found.ndim != 3 or found.dtype.kind not in "fiu":
        raise MsapipeError(f"{path}: {split}: {name} is {found.dtype} {found.shape}, expected numbers (N, T, D)")
    if len(found) != count:
        raise MsapipeError(f"{path}: {split}: {name} has {len(found)} rows for {count} ids")
    return found


def _length(data: dict[str, Any], name: str, row: int) -> int | None:
    """How many steps of a clip count, where the file says so."""
    if data.get(f"{name}_lengths") is not None:
        return int(data[f"{name}_lengths"][row])
    steps = None if data.get("text_bert") is None else np.asarray(data["text_bert"][row])[1]
    aligned = all(np.shape(data[part])[1] == len(steps) for part in MODALITIES if part in data and steps is not None)
    return int(steps.sum()) if steps is not None and (name == "text" or aligned) else None


def _sequence(values: NDArray[Any], length: int | None) -> FeatureSequence:
    rows = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    seen = np.asarray(rows.any(axis=1))
    if length is None:
        length = int(np.flatnonzero(seen)[-1]) + 1 if seen.any() else 0
    length = min(length, len(rows))
    start = np.arange(length, dtype=np.float64)
    return FeatureSequence(rows[:length], np.stack([start, start + 1], axis=1), seen[:length])
