"""Numbers of a run over clips: failures by cause, coverage per modality, time per stage."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from msapipe.report.causes import cause, cause_of_refusal, names_of
from msapipe.report.html import Html, bars, paragraph, section, table, write_page

if TYPE_CHECKING:
    from msapipe.datasets import Refused
    from msapipe.pipeline.run import Outcome

_SLOWEST = 10
_BARS = 10


@dataclass
class RunNumbers:
    """Counts of a run; each outcome is added to them.

    causes: failures by cause.   failed: file and reason of each.   coverage: modality to the share of valid steps of
    each clip that did not fail, in [0, 1]; 0 if the modality is missing.   seconds: wall time by stage.
    slowest: seconds and file of the computed clips that took longest.
    """

    status: Counter[str] = field(default_factory=Counter)
    computed: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    coverage: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    slowest: list[tuple[float, str]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count the outcome of a clip."""
        path = outcome.clip.path
        self.status[outcome.status] += 1
        self.computed += outcome.computed
        self.missing.update(outcome.missing)
        for name, spent in outcome.timings.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + spent
        if outcome.computed:
            self.slowest = heapq.nlargest(_SLOWEST, [*self.slowest, (outcome.seconds, str(path))])
        if outcome.status == "error":
            self._fail(str(path), outcome.error or "", cause(outcome.error or "", names_of(path, outcome.clip.id)))
            return
        for name, share in (dict.fromkeys(outcome.missing, 0.0) | outcome.coverage).items():
            self.coverage.setdefault(name, []).append(share)

    def refuse(self, item: Refused) -> None:
        """Count an item that was found but is no clip."""
        self.status["skipped" if item.skipped else "error"] += 1
        if not item.skipped:
            self._fail(str(item.path), item.reason, cause_of_refusal(item.reason, str(item.path)))

    def _fail(self, name: str, reason: str, because: str) -> None:
        self.causes[because] += 1
        self.failed.append((name, reason.removeprefix(f"{name}: ")))

    @property
    def good(self) -> int:
        """Number of clips with results."""
        return self.status["ok"] + self.status["partial"]

    @property
    def cached(self) -> int:
        """Number of clips whose results were all stored already."""
        return max(0, self.good - self.computed)

    def mean_coverage(self) -> dict[str, float]:
        """Modality to the mean share of valid steps, in [0, 1]."""
        return {name: sum(shares) / len(shares) for name, shares in self.coverage.items()}


def write_run(path: Path, numbers: RunNumbers, pipeline: str, seconds: float) -> None:
    """Write the page of a run; seconds: its wall time."""
    parts = [table(_facts(numbers, pipeline, seconds))]
    if numbers.causes:
        by_count = [(count, because) for because, count in numbers.causes.most_common()]
        parts.append(section("Failures by cause", table(by_count, ("", "cause"))))
    if numbers.coverage:
        parts.append(section("Coverage", paragraph(_ABOUT_COVERAGE), *_coverage(numbers)))
    if numbers.seconds:
        longest = sorted(numbers.seconds.items(), key=lambda item: -item[1])
        times = [(name, f"{spent:.2f}") for name, spent in longest]
        parts.append(section("Time per stage", table(times, ("stage", "seconds in all"))))
        slow = [(f"{spent:.2f}", name) for spent, name in numbers.slowest]
        parts.append(section("Slowest clips", table(slow, ("seconds", "file"))))
    if numbers.failed:
        parts.append(section("Failures", table(numbers.failed, ("file", "what is wrong"))))
    write_page(path, f"Extraction with {pipeline}", parts)


_ABOUT_COVERAGE = (
    "The share of a clip's steps on which there was something to see, hear or read; 0 where a modality is missing. "
    "Each bar counts clips; its name is the middle of a tenth."
)


def _facts(numbers: RunNumbers, pipeline: str, seconds: float) -> list[tuple[str, object]]:
    status = numbers.status
    return [
        ("pipeline", pipeline),
        ("clips", status.total() - status["skipped"]),
        ("ok", status["ok"]),
        ("partial", f"{status['partial']}{by_modality(numbers.missing)}"),
        ("error", status["error"]),
        ("other files", status["skipped"]),
        ("computed", numbers.computed),
        ("from the cache", numbers.cached),
        ("time", f"{seconds:.1f} s"),
    ]


def by_modality(missing: Counter[str]) -> str:
    """The number of clips that lack each modality, in brackets; "" if none does."""
    return f" (missing {', '.join(f'{name} in {count}' for name, count in missing.most_common())})" if missing else ""


def _coverage(numbers: RunNumbers) -> list[Html]:
    charts = []
    for name, mean in numbers.mean_coverage().items():
        tenths = Counter(min(int(share * _BARS), _BARS - 1) for share in numbers.coverage[name])
        counts = {f"{(place + 0.5) / _BARS:.0%}": tenths[place] for place in range(_BARS)}
        charts.append(bars(counts, f"{name}: mean {mean:.0%}"))
    return charts
