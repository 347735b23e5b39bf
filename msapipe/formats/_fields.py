"""The fields of a pickle of features, each validated before use. ValueError says what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Sized
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from msapipe.formats._safe_pickle import as_text

Numbers = NDArray[Any]
_Rows = TypeVar("_Rows", bound=Sized)


class Remarks:
    """Notes for the user on a file, counted over all its parts. ``{n}`` in a sentence becomes its count."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, sentence: str, count: int = 1) -> None:
        """Add to the count of a sentence."""
        if count:
            self._counts[sentence] += count

    def sentences(self) -> tuple[str, ...]:
        """One sentence for each kind of problem."""
        return tuple(sentence.replace("{n}", str(count)) for sentence, count in self._counts.items())


def names(value: Any) -> list[str]:
    """The ids: strings, bytes, numbers, or rows of them (video, clip), joined by ``$_$``."""
    found = []
    for row, item in enumerate(_listed(value)):
        name = "$_$".join(part for part in map(as_text, _flat(item)) if part)
        if not name:
            raise ValueError(f"row {row} is empty")
        found.append(name)
    return found


def texts(value: Any, count: int) -> list[str]:
    """The words of each clip; lists of words are joined."""
    found = [" ".join(map(as_text, _flat(item))) for item in _listed(value)]
    return _of_count(found, count)


def one_number_each(value: Any, count: int) -> NDArray[np.float64]:
    """float64 (N,) from an array with one number per clip, however nested; None becomes NaN."""
    found = _numbers(value)
    if found is None or found.ndim == 0:
        raise ValueError(f"{_shape(value)}, expected a number for each of {count} ids")
    _of_count(found, count)
    if found.size != count:
        raise ValueError(f"{_shape(value)}, expected one number for each of {count} ids")
    return np.asarray(found, np.float64).ravel()


def labels(value: Any, count: int) -> NDArray[np.float64]:
    """As ``one_number_each``; NaN is a missing label."""
    found = one_number_each(value, count)
    if np.isinf(found).any():
        raise ValueError(f"row {int(np.flatnonzero(np.isinf(found))[0])} is infinite")
    return found


def lengths(value: Any, count: int) -> NDArray[np.int64]:
    """int64 (N,): steps of each clip."""
    found = one_number_each(value, count)
    odd = np.flatnonzero(~((found >= 0) & (found == np.floor(found)) & (found < 2**53)))
    if len(odd):
        raise ValueError(f"row {odd[0]} is {found[odd[0]]:g}, expected a number of steps")
    return found.astype(np.int64)


def sequences(value: Any, count: int) -> Sequence[Numbers]:
    """(T, D) for each clip, from an array (N, T, D) or (N, D), or from a list of arrays of any length."""
    found = _numbers(value)
    if found is not None:
        if found.ndim == 2:  # one vector per clip
            found = found[:, None, :]
        if found.ndim == 1 and not len(found) == count == 0:
            raise ValueError(f"{_shape(value)}, expected numbers (N, T, D)")
        if found.ndim not in (1, 3):
            raise ValueError(f"{_shape(value)}, expected numbers (N, T, D)")
        return list(_of_count(found, count))
    ragged = _of_count([_numbers(item) for item in _listed(value)], count)
    parts = [part for part in ragged if part is not None]
    wide = [part for part in parts if part.ndim == 2 and part.size]
    if len(parts) < len(ragged) or any(part.ndim != 2 and part.size for part in parts):
        raise ValueError(f"{_shape(value)}, expected numbers (N, T, D)")
    width = wide[0].shape[1] if wide else 1
    odd = [row for row, part in enumerate(parts) if part.size and part.shape[1] != width]
    if odd:
        raise ValueError(f"row {odd[0]} has {parts[odd[0]].shape[1]} columns, earlier rows {width}")
    return [part if part.size else np.zeros((0, width), np.float32) for part in parts]


def tokens(value: Any, count: int, remarks: Remarks) -> Sequence[NDArray[np.int64]] | None:
    """int64 (3, L) for each clip: ids, mask and segments; None if there are no ids at all.

    (N, L, 3) is transposed. A mask without any token of a clip is ignored.
    """
    found = _numbers(value)
    parts = list(found) if found is not None and found.ndim == 3 else [_numbers(item) for item in _listed(value)]
    whole = [part for part in _of_count(parts, count) if part is not None and part.ndim == 2]
    if len(whole) < count or not all(3 in part.shape for part in whole):
        raise ValueError(f"{_shape(value)}, expected (N, 3, L): ids, mask and segments of each token")
    if any(part.shape[0] != 3 for part in whole):
        if any(part.shape[1] != 3 for part in whole):
            raise ValueError(f"{_shape(value)}, expected (N, 3, L): some rows are turned")
        remarks.add("text_bert is (N, L, 3) and is read as (N, 3, L), for {n} clips", count)
        whole = [part.T for part in whole]
    for row, part in enumerate(whole):
        whole_numbers = np.isfinite(part) & (part >= 0) & (part < 2**31) & (part == np.floor(part))
        if not whole_numbers.all():
            raise ValueError(f"row {row} holds no token ids, which are whole numbers")
    ready = [part.astype(np.int64) for part in whole]
    if not any(part.any() for part in ready):
        remarks.add("text_bert is zero in {n} clips: there are no token ids, and no mask of the text", count)
        return None
    return _masked(ready, remarks)


def _masked(parts: list[NDArray[np.int64]], remarks: Remarks) -> list[NDArray[np.int64]]:
    """Tokens with a plausible mask."""
    if not any(part[1].any() for part in parts) and any(part[2].any() for part in parts):
        remarks.add("text_bert has the mask behind the segments; {n} clips are read so", len(parts))
        parts = [part[[0, 2, 1]] for part in parts]
    for row, part in enumerate(parts):
        if part[1].max(initial=0) > 1:
            raise ValueError(f"row {row} has a mask with {part[1].max()}, expected 0 and 1")
        if part[0].any() and not part[1].any():
            remarks.add("text_bert masks out all tokens of {n} clips: not believed, tokens that are not 0 count")
            part[1] = part[0] != 0
    return parts


def believed(
    given: NDArray[np.int64] | None, name: str, parts: Sequence[Numbers], remarks: Remarks
) -> list[int | None]:
    """The plausible lengths of a modality's clips; None where the values themselves must tell."""
    if given is None:
        return [None] * len(parts)
    out: list[int | None] = []
    for length, part in zip(given.tolist(), parts, strict=True):
        if length > len(part):
            remarks.add(f"{name}_lengths says more steps than there are for {{n}} clips; all steps count")
        if length == 0 and np.nan_to_num(part).any():
            remarks.add(f"{name}_lengths is 0 for {{n}} clips whose {name} is not empty: not believed")
            out.append(None)
        else:
            out.append(min(length, len(part)))
    return out


def _listed(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.ndim else None
    if not isinstance(value, list | tuple):
        raise ValueError(f"{type(value).__name__}, expected a list")
    return list(value)


def _flat(item: Any) -> list[Any]:
    if isinstance(item, np.ndarray):
        item = item.tolist()
    return [part for each in item for part in _flat(each)] if isinstance(item, list | tuple) else [item]


def _numbers(value: Any) -> Numbers | None:
    """A numeric array; None if its rows differ in length or are not numeric."""
    try:
        found = np.asarray(value)
        if found.dtype.kind in "OSU":
            found = found.astype(np.float64)  # None becomes NaN, "0.5" a number
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.dtype.kind in "fiub" else None


def _of_count(found: _Rows, count: int) -> _Rows:
    if len(found) != count:
        raise ValueError(f"{len(found)} rows for {count} ids")
    return found


def _shape(value: Any) -> str:
    try:
        found = np.asarray(value)
    except ValueError:
        return "rows of several shapes"
    return f"{found.dtype} {found.shape}"
