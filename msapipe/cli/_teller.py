"""The output of `msapipe predict`: lines, one table, objects, rows in a file, a page."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msapipe.cli import _scores as scores
from msapipe.cli import _streams
from msapipe.cli._streams import escape

if TYPE_CHECKING:
    from rich.console import Console

    from msapipe.pipeline.explain import Explanation
    from msapipe.pipeline.predict import Model
    from msapipe.pipeline.run import Outcome, Runner
    from msapipe.types import Prediction


@dataclass
class Teller:
    """Prints one outcome after the other, and finishes at the end.

    output, html: the files of scores and of the page, or None.   console: for everything but results.
    """

    scorer: Model
    runner: Runner
    console: Console
    as_json: bool = False
    explain: bool = False
    timings: bool = False
    output: Path | None = None
    html: Path | None = None
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _table: scores.ScoreTable | None = None

    def check(self) -> None:
        """Raise, before any computation, if a file cannot be written."""
        from msapipe.report.html import check_page

        scores.check_output(self.output)
        if self.html is not None:
            check_page(self.html)

    def expect(self, clips: int) -> bool:
        """Set the number of clips; returns whether each is printed at once. ConfigError for a page of several."""
        from msapipe.errors import ConfigError

        if self.html is not None and clips > 1:
            raise ConfigError(f"--html is about one clip, {clips} were given; type: msapipe report PATHS -o FOLDER")
        if clips > scores.FEW and not (self.timings or self.explain or self.as_json):
            self._table = scores.ScoreTable(ascii_only=_streams.console().options.ascii_only)
        return self._table is None

    def tell(self, outcome: Outcome) -> None:
        """Print an outcome, good or bad."""
        from msapipe.pipeline.explain import explain

        found: Prediction | None = outcome.values.get("prediction")
        why = None
        if found is not None and (self.explain or self.html is not None):
            why = explain(outcome, found, self.scorer, self.runner)
        if self.output is not None:
            self._rows.append(scores.row_of(outcome, found))
        self._print(outcome, found, why)
        if self.html is not None and found is not None and why is not None:
            write_page(self.html, outcome, found, why, self.runner, self.console)

    def _print(self, outcome: Outcome, found: Prediction | None, why: Explanation | None) -> None:
        from msapipe.cli._show import show, show_explanation
        from msapipe.pipeline.scoring import as_object

        asked = why if self.explain else None
        if self.as_json:
            more = {"explanation": asked.to_dict()} if asked else {}
            print(json.dumps(as_object(outcome, found) | more), flush=True)
        elif self._table is not None:
            self._table.add(outcome, found)
        elif found is not None:
            show(outcome, found, self.timings)
            if asked is not None:
                show_explanation(found, asked)

    def finish(self) -> None:
        """Print the table and write the file of scores."""
        if self._table is not None:
            self._table.show(_streams.console())
        if self.output is not None:
            scores.write_scores(self.output, self._rows)
            written = f"wrote the scores of {len(self._rows)} clips to {escape(str(self.output))}"
            self.console.print(written, soft_wrap=True)


def write_page(
    path: Path,
    outcome: Outcome,
    found: Prediction,
    why: Explanation,
    runner: Runner,
    console: Console | None,
    home: str = "",
) -> None:
    """Write the page of a clip, and report it; ``home``: the address of the page of all clips."""
    from msapipe.report.clip_page import Told, write_clip_page

    size = write_clip_page(path, Told(outcome, found, why, runner.spec), home)
    if console is not None:
        console.print(f"wrote {escape(str(path))} ({size / 1e3:.0f} kB and the film)", soft_wrap=True)
