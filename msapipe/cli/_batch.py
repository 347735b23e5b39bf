"""Shared by extract and predict: find clips, run them with progress, report one line each, count them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from msapipe.cli._exit import stop_if_asked
from msapipe.cli._streams import escape, tell_errors
from msapipe.errors import EndsRun, MsapipeError
from msapipe.report.extraction import RunNumbers, by_modality

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from msapipe.cli._clip_progress import ClipProgress
    from msapipe.datasets import Example, Refused
    from msapipe.pipeline.run import Outcome, Runner
    from msapipe.pipeline.shard import Shard
    from msapipe.types import Clip, Prediction


# Without a terminal for a bar, a line every so often shows that the run is alive.
_SAY_EVERY_SECONDS = 30.0


@dataclass
class Tally:
    """The numbers of a run, and its report file."""

    report: IO[str] | None = None
    numbers: RunNumbers = field(default_factory=RunNumbers)
    errors: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.perf_counter)

    def add(self, outcome: Outcome) -> None:
        """Count a clip and write its report line."""
        self.numbers.add(outcome)
        coverage = {name: round(share, 4) for name, share in outcome.coverage.items()}
        more: dict[str, Any] = {
            "clip_id": outcome.clip.id,
            "missing": outcome.missing,
            "notes": outcome.notes,
            "coverage": coverage,
        }
        found: Prediction | None = outcome.values.get("prediction")
        if found is not None:
            bounds = found.interval and [round(bound, 4) for bound in found.interval]
            more |= {"score": round(found.score, 4), "label": found.label, "interval": bounds}
        self._line(outcome.clip.path, outcome.status, outcome.computed, outcome.error, outcome.seconds, more)

    def refuse(self, item: Refused) -> None:
        """Count an item that was found but is no clip."""
        self.numbers.refuse(item)
        status = "skipped" if item.skipped else "error"
        self._line(item.path, status, False, item.reason if item.skipped else f"{item.path}: {item.reason}", 0.0, {})

    def refuse_address(self, address: str, error: str) -> None:
        """Count an address without a clip."""
        from msapipe.datasets import Refused

        self.numbers.refuse(Refused(Path(address), error.removeprefix(f"{address}: "), skipped=False))
        self._line(address, "error", False, error, 0.0, {})

    def _line(
        self, path: Path | str, status: str, computed: bool, error: str | None, seconds: float, more: dict[str, Any]
    ) -> None:
        if status == "error" and error:
            self.errors.append(error)
        if self.report is not None:
            line = {"file": str(path), "status": status, "computed": computed, "error": error}
            try:
                self.report.write(json.dumps({**line, "seconds": round(seconds, 3), **more}) + "\n")
                self.report.flush()
            except OSError as problem:
                raise _unwritable(Path(self.report.name), problem) from problem

    @property
    def seconds(self) -> float:
        """Wall time since the run began, in seconds."""
        return time.perf_counter() - self.begun


def sort_out(
    arguments: list[str], tally: Tally, limit: int | None, dataset: str = "", shard: Shard | None = None
) -> list[Example]:
    """The clips (of a shard) that the arguments name, with their labels; other items are counted and reported."""
    from msapipe.datasets import Refused
    from msapipe.pipeline.inputs import find_clips

    examples: list[Example] = []
    found = find_clips(arguments, dataset)
    for item in found if shard is None else shard.share(found):
        if isinstance(item, Refused):
            tally.refuse(item)
        elif limit is None or len(examples) < limit:
            examples.append(item)
    return examples


@contextmanager
def report_file(path: Path | None) -> Iterator[IO[str] | None]:
    """The report opened for writing, or None."""
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield file
    finally:
        with suppress(OSError):  # a failed write was reported already
            file.close()


def _unwritable(path: Path, error: OSError) -> MsapipeError:
    return MsapipeError(f"--report {path} cannot be written: {error.strerror}; free space, or name another file")


@contextmanager
def every_clip_told(tally: Tally, clips: list[Clip], told: Container[str], runner: Runner) -> Iterator[None]:
    """When an error ends the run (an unwritable cache, say), report the remaining clips too.

    told: ids of the reported clips. Stored results are reported even then.
    """
    try:
        yield
    except EndsRun as error:
        from msapipe.pipeline.run import Outcome

        for clip in clips:
            if clip.id not in told:
                found = None
                with suppress(EndsRun):
                    found = runner.stored(clip, "notes")
                tally.add(found or Outcome(clip, "error", error=f"{clip.path}: {error}"))
        raise


def with_progress(
    outcomes: Iterable[Outcome],
    total: int,
    tally: Tally,
    console: Console,
    printing: bool = False,
    within: ClipProgress | None = None,
) -> Iterator[Outcome]:
    """Pass outcomes on, counted, under a progress bar on standard error.

    printing: the caller prints each outcome; on a terminal the bar makes room for it.
    within: shows the progress within a clip.
    """
    with _progress(console) as progress:
        task = progress.add_task("clips", total=total, more=_more(0, tally), rate="")
        if within is not None:
            within.show_on(progress)
        cached = 0
        said = time.perf_counter()
        for done, outcome in enumerate(outcomes, 1):
            stop_if_asked()
            tally.add(outcome)
            cached += not outcome.computed and outcome.status != "error"
            if outcome.status == "error":
                tell_errors([outcome.error or ""], progress.console)
            rate = f"{done / max(time.perf_counter() - tally.begun, 1e-6):.1f} clips/s"
            progress.update(task, advance=1, more=_more(cached, tally), rate=rate)
            if within is not None:
                within.hide()
            if not console.is_terminal and time.perf_counter() - said > _SAY_EVERY_SECONDS:
                said = time.perf_counter()
                console.print(f"{done}/{total} clips{_more(cached, tally)}, {rate}")
            if printing and sys.stdout.isatty():
                progress.stop()
                yield outcome
                progress.start()
            else:
                yield outcome


def _more(cached: int, tally: Tally) -> str:
    return f", {cached} cached, {tally.numbers.status['error']} failed"


def _progress(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}{task.fields[more]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        # Colour may be forced on a pipe, where a bar would mix with the output.
        disable=not (console.is_terminal and console.file.isatty()),
        transient=True,
        # Results go to standard output unchanged; rich would redirect them to standard error.
        redirect_stdout=False,
        redirect_stderr=False,
    )


# The terminal shows only the most frequent ones; the report has all.
_CAUSES_SHOWN = 5


def closing_table(tally: Tally, console: Console, cache: str) -> None:
    """Print the summary of the run."""
    from rich.table import Table

    numbers, status = tally.numbers, tally.numbers.status
    table = Table(show_header=False, box=None)
    table.add_row("clips", str(status.total() - status["skipped"]))
    table.add_row("  ok", str(status["ok"]))
    table.add_row("  partial", f"{status['partial']}{by_modality(numbers.missing)}")
    table.add_row("  error", str(status["error"]))
    for because, count in numbers.causes.most_common(_CAUSES_SHOWN):
        table.add_row("", escape(f"{count} x {because}"))
    if len(numbers.causes) > _CAUSES_SHOWN:
        table.add_row("", f"and {len(numbers.causes) - _CAUSES_SHOWN} causes more")
    if status["skipped"]:
        table.add_row("other files", f"{status['skipped']} passed over (named in the report)")
    if numbers.coverage:
        shares = (f"{name} {share:.0%}" for name, share in numbers.mean_coverage().items())
        table.add_row("coverage", f"{', '.join(shares)} of the steps")
    table.add_row("computed", str(numbers.computed))
    table.add_row("from the cache", str(numbers.cached))
    table.add_row("time", f"{tally.seconds:.1f} s")
    table.add_row("cache", escape(cache))
    console.print(table)
