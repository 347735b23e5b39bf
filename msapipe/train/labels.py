"""label.csv: what people said of clips, found again among the features by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from msapipe.datasets import LABELS, Row, rows
from msapipe.errors import MsapipeError
from msapipe.types import Sample


def read_labels(path: Path) -> list[Row]:
    """Read label.csv (see ``datasets.rows``); MsapipeError names the first line that is not right."""
    found: list[Row] = []
    for row in rows(path, list(LABELS.values())):
        if not isinstance(row, Row):
            raise MsapipeError(f"{path}: line {row.line}: {row.reason}")
        found.append(row)
    return found


def with_labels(samples: Iterable[Sample], rows: Iterable[Row], path: Path) -> tuple[list[Sample], list[str]]:
    """Samples with the labels of the rows that name them, and notes on what has no partner.

    A row "video/clip" fits a clip whose path ends so, with any ending (``Raw/video/clip.mp4``), or ``video$_$clip``.
    Raises MsapipeError when a row fits two clips.
    """
    samples = list(samples)
    known: dict[str, list[int]] = {}
    for number, sample in enumerate(samples):
        for name in _spellings(sample.id):
            known.setdefault(name, []).append(number)
    found: dict[int, Row] = {}
    lost: list[str] = []
    for row in rows:
        fits = known.get(row.name) or known.get(str(PurePosixPath(row.name).with_suffix(""))) or []
        if len(fits) > 1:
            both = " and ".join(samples[number].id for number in fits[:2])
            raise MsapipeError(
                f"{path}: line {row.line}: {row.name} fits {both}; add a video_id column, or whole paths"
            )
        if fits:
            found[fits[0]] = row
        else:
            lost.append(row.name)
    out = [_labelled(sample, found.get(number)) for number, sample in enumerate(samples)]
    bare = [sample.id for number, sample in enumerate(samples) if number not in found]
    notes = [_some(lost, "labels without features, left out")] if lost else []
    notes += [_some(bare, "clips without a label, used only where a model learns without")] if bare else []
    return out, notes


def _labelled(sample: Sample, row: Row | None) -> Sample:
    if row is None:
        return sample
    return replace(sample, labels=row.labels, split=row.split, video=row.group, text=row.text or sample.text)


def _spellings(clip: str) -> set[str]:
    """The names under which a clip may stand in a table."""
    whole = PurePosixPath(clip.replace("$_$", "/"))
    bare = whole.with_suffix("") if whole.name else whole
    return {clip, *("/".join(path.parts[-count:]) for path in (whole, bare) for count in range(1, len(path.parts) + 1))}


def _some(names: list[str], what: str) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} {what}: {', '.join(names[:3])}{more}"
