"""msapipe predict: the sentiment of clips, and its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli._streams import tell_errors


def predict(
    paths: options.Paths,
    pipeline: options.ModelPipeline = None,
    model: options.Model = None,
    cache: options.Cache = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line and clip on standard output.")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Do not compute text, audio or vision, and score by the rest; repeatable.",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=1.0,
            help="A timeline of scores in windows of this length; the score of the clip stays what it is.",
            show_default="30 for clips of more than a minute, else no timeline",
        ),
    ] = None,
    timings: Annotated[
        bool, typer.Option("--timings", help="Say of every step how long it took (--json always does).")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Say why: trust in each modality, the words that moved the score, gates."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the scores as rows: .csv, .jsonl or .parquet."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page about the clip, with its film: one file (of several: msapipe report)."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write one JSON line a clip to this file.")] = None,
    jobs: options.Jobs = 0,
    device: options.Device = "auto",
    dtype: options.Dtype = None,
    limit: options.Limit = None,
    allow_mismatch: options.AllowMismatch = False,
    retry: options.Retry = False,
    offline: options.Offline = False,
    accept_licence: options.AcceptLicence = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Score clips: sentiment, what each modality contributed, and what is missing."""
    from msapipe.cache import open_store
    from msapipe.cli import _batch as batch
    from msapipe.cli import _exit
    from msapipe.cli._clip_progress import ClipProgress
    from msapipe.cli._teller import Teller
    from msapipe.cli._web import from_web
    from msapipe.engines.local import run_clips
    from msapipe.errors import MsapipeError
    from msapipe.pipeline.device import resolve_device
    from msapipe.pipeline.model_pipeline import choose_spec
    from msapipe.pipeline.run import Options, Runner
    from msapipe.pipeline.scoring import model_of, scored
    from msapipe.pipeline.spec import with_dtype

    console = options.console(quiet, verbose)
    spec = choose_spec(pipeline, model)
    if dtype is not None:
        spec = with_dtype(spec, dtype)
    options.accept_licences(accept_licence, spec)
    scorer, reduced = model_of(model, spec, without or [], allow_mismatch, window)
    if device not in ("auto", "cpu"):
        resolve_device(device)
    run_options = Options(device, retry=retry, must_keep=False, offline=offline)
    folder = options.cache_folder(cache)
    within = ClipProgress(console)
    with batch.report_file(report) as lines, Runner(reduced, open_store(folder), run_options, within) as runner:
        teller = Teller(scorer, runner, console, as_json, explain, timings, output, html)
        teller.check()
        tally = batch.Tally(lines)
        here = from_web(paths, folder, offline, tally, console)
        clips = [example.clip for example in batch.sort_out(here, tally, limit)]
        tell_errors(tally.errors, console)
        told_at_once = teller.expect(len(clips))
        outcomes = scored(run_clips(runner, clips, jobs), scorer, runner)
        for outcome in batch.with_progress(outcomes, len(clips), tally, console, told_at_once, within):
            teller.tell(outcome)
        teller.finish()
    if len(clips) > 1 and not quiet:
        batch.closing_table(tally, console, folder)
    if not clips and not tally.errors:
        raise MsapipeError(f"nothing to score in {' '.join(paths)}: no media file was found")
    return _exit.of_counts(tally.numbers.good, tally.numbers.status["error"])
