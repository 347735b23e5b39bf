"""Progress within a long clip: on a terminal's bar, else in an occasional line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from msapipe.pipeline.progress import Progress

# Shorter clips end before anybody has read the line.
_LONG_SECONDS = 20.0
_SAY_EVERY_SECONDS = 30.0


class ClipProgress:
    """Shows the progress of clips that run in this process."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._step = ""
        self._begun = self._said = time.perf_counter()

    def show_on(self, bars: Bars) -> None:
        """Draw on these bars from now on."""
        self._bars = bars
        self._task = bars.add_task("", total=None, visible=False, more="", rate="")

    def hide(self) -> None:
        """Hide the bar when the clip is done."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, visible=False)

    def __call__(self, progress: Progress) -> None:
        """Show how much of the clip a step has read."""
        if progress.step != self._step or progress.reached is None:
            self._step, self._begun = progress.step, time.perf_counter()
            self.hide()
            if self._bars is not None and self._task is not None:
                self._bars.reset(self._task, visible=False)
        if progress.reached is None or progress.length is None or progress.length < _LONG_SECONDS:
            return
        reached = min(progress.reached, progress.length)
        if self._bars is not None and self._task is not None:
            told = f"seconds: {progress.step}"
            self._bars.update(
                self._task, total=round(progress.length), completed=round(reached), description=told, visible=True
            )
        if not self._console.is_terminal and time.perf_counter() - self._said > _SAY_EVERY_SECONDS:
            self._said = time.perf_counter()
            self._console.print(told_of(progress, self._said - self._begun), soft_wrap=True)


def told_of(progress: Progress, spent: float) -> str:
    """A line about a step's progress.   spent: its seconds so far."""
    reached, length = progress.reached or 0.0, progress.length or 0.0
    left = spent * max(length - reached, 0.0) / reached if reached > 0 else 0.0
    return f"{progress.step}: {reached:.0f} of {length:.0f} s, {left:.0f} s left"
