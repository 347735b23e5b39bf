"""A worker of the local engine: clips in from standard input, outcomes out to standard output, one JSON line each.

The first line says the recipe, the cache and the options. It ends with its input, or with a signal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

# Ctrl-C reaches every process of the terminal; only the first one decides what it means. Before the slow imports.
signal.signal(signal.SIGINT, signal.SIG_IGN)

from msapipe.cache import Store  # noqa: E402
from msapipe.errors import EndsRun  # noqa: E402
from msapipe.media import Limits  # noqa: E402
from msapipe.pipeline.recipe import parse_recipe  # noqa: E402
from msapipe.pipeline.run import Options, Runner  # noqa: E402
from msapipe.types import Clip  # noqa: E402


def main() -> None:
    """Answer until there is nothing more to read."""
    signal.signal(signal.SIGTERM, _end)
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a library prints must not get between two answers
    start = json.loads(sys.stdin.readline())
    _not_outlive(start["parent"])
    with _runner(start) as runner:
        for line in sys.stdin:
            answer = _run(runner, json.loads(line))
            out.write(json.dumps(answer) + "\n")
            out.flush()


def _runner(start: dict[str, Any]) -> Runner:
    recipe = start["recipe"]
    options = dict(start["options"])
    limits = options.pop("limits")
    return Runner(
        parse_recipe(recipe["text"], recipe["name"], Path(recipe["source"]) if recipe["source"] else None),
        Store(Path(start["cache"])),
        Options(**options, limits=Limits(**limits) if limits else None),
    )


def _run(runner: Runner, clip: dict[str, Any]) -> dict[str, Any]:
    try:
        outcome = runner.run(Clip(**{**clip, "path": Path(clip["path"])}))
    except EndsRun as error:
        return {"ended": [type(error).__name__, str(error)]}
    names = ("status", "computed", "error", "missing", "coverage", "notes", "seconds", "timings", "keys")
    return {name: getattr(outcome, name) for name in names}


def _not_outlive(parent: int) -> None:
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
