"""Look up stored results before clips are handed to workers."""

from __future__ import annotations

from msapipe.pipeline.run import Outcome, Runner
from msapipe.types import Clip

# Without a summary, all results of a clip must be read, some milliseconds each: for many clips the workers' job.
_READ_HERE = 200


class Look:
    """Called with a clip: its outcome when everything is stored (or it is unreadable), None when there is work.

    brief: outcomes without features, from summaries. Without a summary, results are read, but only those of the
    first clips; the rest count as work, which the workers will find already done.
    """

    def __init__(self, runner: Runner, brief: bool) -> None:
        self._runner, self._brief, self._left = runner, brief, _READ_HERE

    def __call__(self, clip: Clip) -> Outcome | None:
        """See the class."""
        if not self._brief:
            return self._runner.stored(clip)
        outcome = self._runner.stored(clip, "summary")
        if outcome is None and self._left:
            self._left -= 1
            outcome = self._runner.stored(clip, "notes")
        return outcome
