"""Match the rows of label.csv with the features of clips, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from msapipe.datasets import LABELS, Row, rows
from msapipe.errors import ConfigError, MsapipeError
from msapipe.types import Sample


def read_labels(path: Path) -> list[Row]:
    """Read label.csv (see ``datasets.rows``); MsapipeError names the first invalid line."""
    found: list[Row] = []
    for row in rows(path, list(LABELS.values())):
        if not isinstance(row, Row):
            raise MsapipeError(f"{path}: line {row.line}: {row.reason}")
        found.append(row)
    return found


def with_labels(samples: Iterable[Sample], rows: Iterable[Row], path: Path) -> tuple[list[Sample], list[str]]:
    """Samples with the labels of the matching rows only, and notes on rows and clips without a match.

    A row matches the clip of its name in any spelling (see ``_Names``). A clip without a row has no label; splits and
    videos come from the table if it has any. Raises MsapipeError when a row matches two clips or two rows match one,
    ConfigError when no row matches.
    """
    samples, rows = list(samples), list(rows)
    names = _Names([sample.id for sample in samples])
    found: dict[int, Row] = {}
    lost: list[str] = []
    for row in rows:
        fits = names.find(row)
        if len(fits) > 1:
            both = " and ".join(samples[number].id for number in fits[:2])
            raise MsapipeError(
                f"{path}: line {row.line}: {row.name} fits {both}; add a video_id column, or whole paths"
            )
        if not fits:
            lost.append(row.name)
        elif (other := found.setdefault(fits[0], row)) is not row:
            raise MsapipeError(
                f"{path}: lines {other.line} and {row.line}: {other.name} and {row.name} both fit clip "
                f"{samples[fits[0]].id}; write whole names"
            )
    if samples and rows and not found:
        raise ConfigError(
            f"{path}: none of its {len(rows)} rows names one of the {len(samples)} clips; it has "
            f"{' and '.join(row.name for row in rows[:2])}, the features have "
            f"{' and '.join(sample.id for sample in samples[:2])}; write video_id and clip_id as in the features"
        )
    split = any(row.split for row in rows)
    out = [_labelled(sample, found.get(number), split) for number, sample in enumerate(samples)]
    bare = [sample.id for number, sample in enumerate(samples) if number not in found]
    notes = [_some(lost, "labels without features, left out")] if lost else []
    notes += [_some(bare, "clips without a label, used only where a model learns without")] if bare else []
    gone = {letter for sample in samples for letter in sample.labels} - {one for row in rows for one in row.labels}
    notes += [f"labels {', '.join(sorted(gone))} of the features are not in {path}, and are not used"] if gone else []
    return out, notes


def _labelled(sample: Sample, row: Row | None, split: bool) -> Sample:
    """The sample with the row's labels; split: take the split from the table, else keep that of the features."""
    if row is None:
        return replace(sample, labels={}, split=None if split else sample.split)
    own = row.split if split else sample.split
    return replace(sample, labels=row.labels, split=own, video=row.group, text=row.text or sample.text)


class _Names:
    """Finds the clips that a row may mean: spellings differ by folders, suffixes, zeros and separators.

    Spellings are compared from the strictest to the loosest, and the first that matches any clip counts: as written;
    "video/clip" behind any folders and before any suffix, where one of the two may lack the first parts
    (``Raw/video/0001.mp4``, ``video$_$0001``, ``video[0001]``, ``0001``); the same without leading zeros; the last
    two parts alone, in any case, with "_" or "/" between them (``video_1``).
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._written = {clip: [number] for number, clip in enumerate(ids)}
        self._whole: list[dict[tuple[str, ...], list[int]]] = [{} for _ in _SPELLINGS]
        self._tails: list[dict[tuple[str, ...], list[int]]] = [{} for _ in _SPELLINGS]
        for number, clip in enumerate(ids):
            for level, (spell, _) in enumerate(_SPELLINGS):
                parts = spell(clip)
                self._whole[level].setdefault(parts, []).append(number)
                for tail in _tails(parts):
                    self._tails[level].setdefault(tail, []).append(number)

    def find(self, row: Row) -> list[int]:
        """Positions of the clips that a row matches in the strictest spelling that matches any."""
        if row.name in self._written:
            return self._written[row.name]
        for level, (spell, part_of) in enumerate(_SPELLINGS):
            for name in _names_of(row):
                parts = spell(name)
                found = (self._tails if part_of else self._whole)[level].get(parts)
                # More matching parts are better, so the longest come first.
                for tail in _tails(parts) if part_of and found is None else ():
                    found = found or self._whole[level].get(tail)
                if found:
                    return found
        return []


def _names_of(row: Row) -> list[str]:
    """The names of a row: "video/clip" if the table has both columns, and as written."""
    clip = row.clip or PurePosixPath(row.name).name
    apart = f"{row.video}/{clip}"
    return list(dict.fromkeys((apart, row.name))) if row.video != row.name else [row.name]


def _parts(name: str) -> tuple[str, ...]:
    """Turn video/0001.mp4, video$_$0001 and video[0001] into (video, 0001)."""
    bracket = re.fullmatch(r"(.+)\[(\w+)\]", name)
    path = PurePosixPath("/".join(bracket.groups()) if bracket else name.replace("$_$", "/"))
    *folders, last = [part for part in path.parts if part not in ("/", ".")] or [name]
    stem, _, ending = last.rpartition(".")
    # A suffix has a letter: "video.5" has none.
    return (*folders, stem if stem and not ending.isdecimal() else last)


def _tails(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    """All tails of the parts, the longest first."""
    return [parts[first:] for first in range(len(parts))]


def _without_zeros(name: str) -> tuple[str, ...]:
    return tuple(_bare_number(part) for part in _parts(name))


def _bare_number(part: str) -> str:
    return part.lstrip("0") or "0" if part.isdecimal() else part


def _flat(name: str) -> tuple[str, ...]:
    """The last two parts, split at any separator."""
    return tuple(_bare_number(part) for part in "_".join(_parts(name)[-2:]).casefold().split("_"))


# Spellings of names, and whether one name may lack the first parts of the other.
_SPELLINGS: tuple[tuple[Callable[[str], tuple[str, ...]], bool], ...] = (
    (_parts, True),
    (_without_zeros, True),
    (_flat, False),
)


def _some(names: list[str], what: str) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} {what}: {', '.join(names[:3])}{more}"
