"""A worker of the local engine: clips in from standard input, outcomes out to standard output, one JSON line each.

The first line says the pipeline, the cache and the options. It ends with its input, or with a signal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from types import FrameType

# Ctrl-C reaches every process of the terminal; only the first one decides what it means. Before the slow imports.
signal.signal(signal.SIGINT, signal.SIG_IGN)

from msapipe.engines.wire import answer, runner_of  # noqa: E402


def main() -> None:
    """Answer until there is nothing more to read."""
    signal.signal(signal.SIGTERM, _end)
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a library prints must not get between two answers
    start = json.loads(sys.stdin.readline())
    not_outlive(start["parent"])
    with runner_of(start) as runner:
        for line in sys.stdin:
            out.write(json.dumps(answer(runner, json.loads(line))) + "\n")
            out.flush()


def not_outlive(parent: int) -> None:
    """End at once when the parent is killed; it then reads no answer any more."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(1)  # through the runner's exit: its decoder ends, its unfinished files go


if __name__ == "__main__":
    main()
