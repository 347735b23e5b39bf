"""A folder of clips as samples, for commands that train on features or evaluate them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from msapipe.cli._streams import tell_errors

if TYPE_CHECKING:
    from rich.console import Console

    from msapipe.pipeline.run import Options
    from msapipe.pipeline.spec import PipelineSpec
    from msapipe.types import Sample


def extracted(
    root: Path, dataset: str, spec: PipelineSpec, cache: str, how: Options, console: Console, jobs: int = 0
) -> list[Sample]:
    """Features and labels of all clips below a folder; a clip that fails is reported and left out.

    Raises ConfigError when it is no folder, MsapipeError when no clip is left.
    """
    from msapipe.cache import open_store
    from msapipe.cli import _batch as batch
    from msapipe.engines.local import run_clips
    from msapipe.errors import ConfigError, MsapipeError
    from msapipe.pipeline.run import Runner
    from msapipe.pipeline.samples import samples_of

    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise ConfigError(f"{root}: found {found}, expected a folder of clips (--pipeline is for those)")
    tally = batch.Tally()
    examples = {example.clip.id: example for example in batch.sort_out([str(root)], tally, None, dataset)}
    tell_errors(tally.errors, console)
    good: set[str] = set()
    with Runner(spec, open_store(cache), how) as runner:
        outcomes = run_clips(runner, [example.clip for example in examples.values()], jobs, brief=True)
        with contextlib.closing(outcomes):
            for outcome in batch.with_progress(outcomes, len(examples), tally, console):
                if outcome.status != "error":
                    good.add(outcome.clip.id)
        if not good:
            raise MsapipeError(f"{root}: no clip in it could be used; type: msapipe data inspect {root}")
        return list(samples_of((each for name, each in examples.items() if name in good), runner))
