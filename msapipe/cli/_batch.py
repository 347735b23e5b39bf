"""What extract and predict share: clips found, run with progress, reported a line each, counted."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from msapipe.cli._exit import stop_if_asked
from msapipe.errors import MsapipeError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from msapipe.datasets import Example, Refused
    from msapipe.pipeline.run import Outcome


# Where there is no terminal to draw a bar on, a line now and then says that the run lives.
_SAY_EVERY_SECONDS = 30.0


@dataclass
class Tally:
    """Counts of a run, and its report file."""

    report: IO[str] | None = None
    status: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    computed: int = 0
    begun: float = field(default_factory=time.perf_counter)

    def add(self, outcome: Outcome) -> None:
        """Count a clip and write its report line."""
        self._line(outcome.clip.path, outcome.status, outcome.computed, outcome.error, outcome.seconds, outcome)

    def refuse(self, item: Refused) -> None:
        """Count something that was found and is no clip."""
        status = "skipped" if item.skipped else "error"
        self._line(item.path, status, False, item.reason if item.skipped else f"{item.path}: {item.reason}", 0.0, None)

    def _line(
        self, path: Path, status: str, computed: bool, error: str | None, seconds: float, outcome: Outcome | None
    ) -> None:
        self.status[status] += 1
        self.computed += computed
        if status == "error" and error:
            self.errors.append(error)
        line: dict[str, Any] = {"file": str(path), "status": status, "computed": computed, "error": error}
        line["seconds"] = round(seconds, 3)
        if outcome is not None:
            self.missing.update(outcome.missing)
            line |= {"clip_id": outcome.clip.id, "missing": outcome.missing, "notes": outcome.notes}
        if self.report is not None:
            self.report.write(json.dumps(line) + "\n")
            self.report.flush()

    @property
    def good(self) -> int:
        """Clips of which there are results."""
        return self.status["ok"] + self.status["partial"]


def sort_out(arguments: list[str], tally: Tally, limit: int | None, dataset: str = "") -> list[Example]:
    """The clips that the arguments name, with their labels; what is no clip is counted and reported."""
    from msapipe.datasets import Refused
    from msapipe.pipeline.inputs import find_clips

    examples: list[Example] = []
    for item in find_clips(arguments, dataset):
        if isinstance(item, Refused):
            tally.refuse(item)
        elif limit is None or len(examples) < limit:
            examples.append(item)
    return examples


@contextmanager
def report_file(path: Path | None) -> Iterator[IO[str] | None]:
    """The report opened for writing, or nothing."""
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise MsapipeError(f"--report {path} cannot be written: {error.strerror}; name another file") from error
    with file:
        yield file


def with_progress(
    outcomes: Iterable[Outcome], total: int, tally: Tally, console: Console, printing: bool = False
) -> Iterator[Outcome]:
    """Hand outcomes on, counted, under a progress bar on standard error.

    printing: the caller prints each outcome; on a terminal the bar makes room for it.
    """
    with _progress(console) as progress:
        task = progress.add_task("clips", total=total, cached=0, failed=tally.status["error"], rate="")
        cached = 0
        said = time.perf_counter()
        for done, outcome in enumerate(outcomes, 1):
            stop_if_asked()
            tally.add(outcome)
            cached += not outcome.computed and outcome.status != "error"
            if outcome.status == "error":
                progress.console.print(f"[red]error[/red] {escape(outcome.error or '')}", soft_wrap=True)
            rate = f"{done / max(time.perf_counter() - tally.begun, 1e-6):.1f} clips/s"
            progress.update(task, advance=1, cached=cached, failed=tally.status["error"], rate=rate)
            if not console.is_terminal and time.perf_counter() - said > _SAY_EVERY_SECONDS:
                said = time.perf_counter()
                console.print(f"{done}/{total} clips, {cached} cached, {tally.status['error']} failed, {rate}")
            if printing and sys.stdout.isatty():
                progress.stop()
                yield outcome
                progress.start()
            else:
                yield outcome


def _progress(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}, {task.fields[cached]} cached, {task.fields[failed]} failed"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
        # Results go to standard output as they are; rich would lead them to standard error.
        redirect_stdout=False,
        redirect_stderr=False,
    )


def closing_table(tally: Tally, console: Console, cache: Path) -> None:
    """What came of the run."""
    from rich.table import Table

    seconds = time.perf_counter() - tally.begun
    table = Table(show_header=False, box=None)
    table.add_row("clips", str(sum(tally.status.values()) - tally.status["skipped"]))
    table.add_row("  ok", str(tally.status["ok"]))
    table.add_row("  partial", f"{tally.status['partial']}{_by_modality(tally.missing)}")
    table.add_row("  error", str(tally.status["error"]))
    if tally.status["skipped"]:
        table.add_row("other files", f"{tally.status['skipped']} passed over (named in the report)")
    table.add_row("computed", str(tally.computed))
    table.add_row("from the cache", str(tally.good - tally.computed if tally.good > tally.computed else 0))
    table.add_row("time", f"{seconds:.1f} s")
    table.add_row("cache", escape(str(cache)))
    console.print(table)


def _by_modality(missing: Counter[str]) -> str:
    return f" (missing {', '.join(f'{name} in {count}' for name, count in missing.most_common())})" if missing else ""


def escape(text: str) -> str:
    """Text as it is, also where it holds square brackets or control characters."""
    from rich.markup import escape as escaped

    return escaped("".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text))
