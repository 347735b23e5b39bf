"""msapipe plan: the steps of a pipeline for clips, their keys, and what is cached."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli import _streams
from msapipe.cli._streams import escape


def plan(
    paths: options.Paths,
    pipeline: options.Pipeline = "pocket",
    cache: options.Cache = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line and clip.")] = False,
) -> int:
    """Show every step, its key, and whether its result is cached. Nothing is computed."""
    from rich.table import Table

    from msapipe.cache import open_store
    from msapipe.pipeline.inputs import find_clips, only_clips
    from msapipe.pipeline.plan import plan as plan_clip
    from msapipe.pipeline.spec import load_spec
    from msapipe.report.marks import on_one_line

    spec, store = load_spec(pipeline), open_store(options.cache_folder(cache))
    out = _streams.console()
    for clip in only_clips(find_clips(paths)):
        planned = plan_clip(clip, spec, store)
        if as_json:
            steps = [
                {"step": step.name, "channel": step.channel, "key": step.key, "cached": step.stored}
                for step in planned.steps
            ]
            print(json.dumps({"clip_id": clip.id, "file": str(clip.path), "steps": steps}))
            continue
        out.print(f"[bold]{escape(on_one_line(str(clip.path)))}[/bold]  {spec.name}", soft_wrap=True)
        table = Table("step", "reads", "key", "cached", box=None, padding=(0, 2))
        for step in planned.steps:
            reads = ", ".join(step.inputs) or "the file"
            table.add_row(step.name, reads, step.key[:16], "[green]yes[/green]" if step.stored else "no")
        out.print(table)
    return 0
