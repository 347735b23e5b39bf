"""A worker of the local engine: reads clips from standard input, writes outcomes to standard output, as JSON lines.

The first line gives the pipeline, the cache and the options. The worker ends with its input, or on a signal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from types import FrameType

# Ctrl-C reaches every process of the terminal; only the main one handles it. Set before the slow imports.
signal.signal(signal.SIGINT, signal.SIG_IGN)

from msapipe.engines.wire import answer, runner_of  # noqa: E402
from msapipe.interrupts import not_outlive  # noqa: E402


def main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGTERM, _end)
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # library output must not get between two answers
    start = json.loads(sys.stdin.readline())
    not_outlive(start["parent"])
    with runner_of(start) as runner:
        for line in sys.stdin:
            out.write(json.dumps(answer(runner, json.loads(line))) + "\n")
            out.flush()


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(1)  # the runner then ends its decoder and removes its unfinished files


if __name__ == "__main__":
    main()
