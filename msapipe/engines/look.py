"""What a run looks up by itself before it hands clips to others."""

from __future__ import annotations

from msapipe.pipeline.run import Outcome, Runner
from msapipe.types import Clip

# Without a summary all results of a clip are read, some milliseconds each: of many clips a work for many processes.
_READ_HERE = 200


class Look:
    """Called with a clip: its outcome when everything is stored (or it cannot be read), None when there is work.

    brief: outcomes without features, by summaries; where there is none the results are read, but of the first clips
    only. The others count as work, which whoever runs them will find done.
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
