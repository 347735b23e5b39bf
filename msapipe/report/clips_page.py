"""The page of several clips: score distribution, failures by cause, coverage, the best and worst clips, and a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from msapipe.report.clip_page import share_of
from msapipe.report.extraction import RunNumbers
from msapipe.report.template import render, write_text
from msapipe.types import Prediction

_BINS = 12
_BEST = 5
_TENTHS = [f"{10 * part + 5}%" for part in range(10)]


@dataclass(frozen=True)
class Line:
    """A clip in the list.

    page: the address of its own page, "" without one.   label: the name of the human label, or None.
    """

    name: str
    page: str
    prediction: Prediction
    words: str
    missing: tuple[str, ...]
    label: str | None = None


def write_clips_page(path: Path, lines: Sequence[Line], numbers: RunNumbers, about: Sequence[tuple[str, str]]) -> None:
    """Write the page; raises ConfigError when the file cannot be written."""
    ordered = sorted(lines, key=lambda line: -line.prediction.score)
    values = {
        "title": f"{len(lines)} clips",
        "facts": [*_facts(numbers, lines), *about],
        "scores": _scores(lines),
        "coverage": [(name, _bars(np.histogram(shares, len(_TENTHS), (0, 1))[0], _TENTHS), _mean(shares))
                     for name, shares in numbers.coverage.items()],
        "causes": numbers.causes.most_common(),
        "failed": numbers.failed,
        "best": [_row(line) for line in ordered[:_BEST]],
        "worst": [_row(line) for line in ordered[::-1][:_BEST]],
        "clips": [_row(line) for line in lines],
        "confusion": _confusion(lines),
    }  # fmt: skip
    write_text(path, render("clips.html", values))


def _facts(numbers: RunNumbers, lines: Sequence[Line]) -> list[tuple[str, str]]:
    status = numbers.status
    labels = Counter(line.prediction.label for line in lines)
    return [
        ("clips", str(status.total() - status["skipped"])),
        ("scored", str(len(lines))),
        ("labels", ", ".join(f"{count} {name}" for name, count in labels.most_common()) or "none"),
        ("partial", str(status["partial"])),
        ("failed", str(status["error"])),
        ("other files", str(status["skipped"])),
    ]


def _row(line: Line) -> dict[str, Any]:
    found = line.prediction
    known = ("positive", "negative", "neutral")
    low, high = found.interval or (found.score, found.score)
    left = share_of(low, found.scale)
    return {
        "name": line.name,
        "page": line.page,
        "score": f"{found.score:+.2f}",
        "told": f"{found.score:+.2f}, between {low:+.2f} and {high:+.2f}" if found.interval else f"{found.score:+.2f}",
        "place": share_of(found.score, found.scale),
        "left": left,
        "width": round(share_of(high, found.scale) - left, 2),
        "label": found.label,
        "class": found.label if found.label in known else "unclear",
        "given": line.label or "",
        "words": line.words[:200] + ("…" if len(line.words) > 200 else ""),
        "missing": ", ".join(line.missing),
    }


def _scores(lines: Sequence[Line]) -> list[dict[str, Any]]:
    if not lines:
        return []
    low, high = lines[0].prediction.scale
    counts, edges = np.histogram([line.prediction.score for line in lines], _BINS, (low, high))
    return _bars(counts, [f"{(a + b) / 2:+.2g}" for a, b in pairwise(edges)])


def _mean(shares: Sequence[float]) -> str:
    return f"{sum(shares) / len(shares):.0%}" if shares else "-"


def _bars(counts: Sequence[int] | np.ndarray[Any, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    numbers = [int(count) for count in counts]
    heights = [round(100 * count / (max(numbers) or 1)) for count in numbers]
    return [
        {"x": 46 * place, "y": 118 - high, "height": high, "count": count, "name": name}
        for place, (count, name, high) in enumerate(zip(numbers, names, heights, strict=True))
    ]


def _confusion(lines: Sequence[Line]) -> dict[str, Any] | None:
    """How often each human label was scored as each label, if there are human labels."""
    pairs = Counter((line.label, line.prediction.label) for line in lines if line.label is not None)
    if not pairs:
        return None
    given = sorted({label for label, _ in pairs if label is not None})
    scored = sorted({label for _, label in pairs})
    rows = [(label, [pairs[label, other] for other in scored]) for label in given]
    right = sum(count for (label, other), count in pairs.items() if label == other)
    return {"columns": scored, "rows": rows, "right": f"{right} of {pairs.total()}"}
