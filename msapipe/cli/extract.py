"""msapipe extract: compute and store all results of a pipeline, for any number of clips."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli._streams import tell_errors

if TYPE_CHECKING:
    from msapipe.pipeline.run import Outcome, Runner
    from msapipe.pipeline.spec import PipelineSpec
    from msapipe.types import Clip


def extract(
    paths: options.Paths,
    pipeline: options.Pipeline = "pocket",
    dataset: options.DataSet = "",
    cache: options.Cache = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the features of all clips: .safetensors, .pkl (MMSA), .csd (CMU SDK), .parquet.",
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write one JSON line a clip to this file.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write counts, failures by cause, coverage and times as a page to this file.")
    ] = None,
    save_crops: Annotated[Path | None, typer.Option(help="Write the speaker's face crops below this folder.")] = None,
    save_tracks: Annotated[
        Path | None, typer.Option(help="Write who is in sight and who speaks when, as JSON, below this folder.")
    ] = None,
    jobs: options.Jobs = 0,
    engine: Annotated[str, typer.Option(help="local: processes on this machine; ray: a Ray cluster.")] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Ray: where the cluster is.",
            show_default="RAY_ADDRESS, else a cluster on this machine",
        ),
    ] = None,
    gpus_per_actor: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="SHARE",
            help="Ray: the share of a GPU that each process with models takes; 0: none.",
            show_default="1 where the cluster has GPUs",
        ),
    ] = None,
    device: options.Device = "auto",
    dtype: options.Dtype = None,
    limit: options.Limit = None,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Only share I of N, of whole videos; the shares may use one cache.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be computed, and stop.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first clip that fails.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Compute also what is in the cache.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read what is stored and check it, also where nobody touched it.")
    ] = False,
    retry: options.Retry = False,
    offline: options.Offline = False,
    accept_licence: options.AcceptLicence = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Extract features into the cache. A repeated run resumes where the last one stopped."""
    from msapipe.cache import open_store
    from msapipe.cli import _batch as batch
    from msapipe.cli import _exit
    from msapipe.formats import format_of
    from msapipe.pipeline.crops import save_crops as save_face_crops
    from msapipe.pipeline.model_pipeline import made_by
    from msapipe.pipeline.run import Options, Runner
    from msapipe.pipeline.samples import bare_sample, samples_of
    from msapipe.pipeline.shard import Shard
    from msapipe.pipeline.spec import load_spec, with_dtype
    from msapipe.pipeline.tracks import save_tracks as save_face_tracks
    from msapipe.report.extraction import write_run
    from msapipe.report.html import check_page

    console = options.console(quiet, verbose)
    spec = load_spec(pipeline) if dtype is None else with_dtype(load_spec(pipeline), dtype)
    options.accept_licences(accept_licence, spec)
    _check_engine(engine, address, gpus_per_actor)
    share = Shard.parse(shard) if shard else None
    writer = format_of(output, to_write=True) if output else None
    if html is not None:
        check_page(html)
    folder = options.cache_folder(cache)
    with batch.report_file(report) as lines, contextlib.ExitStack() as ending:
        tally = batch.Tally(lines)
        examples = {example.clip.id: example for example in batch.sort_out(paths, tally, limit, dataset, share)}
        clips = [example.clip for example in examples.values()]
        tell_errors(tally.errors, console)
        if writer is not None and output is not None:
            writer.check(output, map(bare_sample, examples.values()))
        if dry_run:
            _dry_run(clips, spec, folder)
            return _exit.of_counts(len(clips), tally.numbers.status["error"])
        how = Options(device, overwrite, retry, offline=offline, verify=verify)
        runner = ending.enter_context(Runner(spec, open_store(folder), how))
        outcomes = _on_ray(runner, clips, address, gpus_per_actor) if engine == "ray" else _here(runner, clips, jobs)
        done: set[str] = set()
        told: set[str] = set()
        with (
            batch.every_clip_told(tally, clips, told, runner),
            contextlib.closing(outcomes),  # ends its processes at once when stopped early
        ):
            for outcome in batch.with_progress(outcomes, len(clips), tally, console):
                told.add(outcome.clip.id)
                if outcome.status != "error":
                    done.add(outcome.clip.id)
                elif fail_fast:
                    break
        good = [example for name, example in examples.items() if name in done]
        if writer is not None and output is not None:
            count = writer.write(output, samples_of(good, runner), made_by(spec))
            console.print(f"wrote the features of {count} clips to {output}", markup=False, soft_wrap=True)
        if save_crops is not None:
            count = sum(save_face_crops(runner.run(example.clip), save_crops) for example in good)
            console.print(f"wrote {count} face crops below {save_crops}", markup=False, soft_wrap=True)
        if save_tracks is not None:
            count = sum(save_face_tracks(runner.run(example.clip), save_tracks) for example in good)
            console.print(f"wrote {count} tracks of faces below {save_tracks}", markup=False, soft_wrap=True)
    if html is not None:
        write_run(html, tally.numbers, spec.name, tally.seconds)
        console.print(f"wrote {html}", markup=False)
    if not quiet:
        batch.closing_table(tally, console, folder)
    return _exit.of_counts(tally.numbers.good, tally.numbers.status["error"])


def _check_engine(engine: str, address: str | None, gpus_per_actor: float | None) -> None:
    from msapipe.errors import ConfigError, UnknownName
    from msapipe.registry import did_you_mean

    if engine not in ("local", "ray"):
        raise UnknownName(f"--engine: no engine is called {engine!r}{did_you_mean(engine, ('local', 'ray'))}")
    if engine == "local" and (address is not None or gpus_per_actor is not None):
        raise ConfigError("--address and --gpus-per-actor are about a Ray cluster; type --engine ray")


def _here(runner: Runner, clips: list[Clip], jobs: int) -> Generator[Outcome]:
    from msapipe.engines.local import run_clips
    from msapipe.pipeline.device import resolve_device

    for device in runner.options.device.split(","):
        if device not in ("auto", "cpu"):
            resolve_device(device)
    return run_clips(runner, clips, jobs, brief=True)


def _on_ray(runner: Runner, clips: list[Clip], address: str | None, gpus_per_actor: float | None) -> Generator[Outcome]:
    from msapipe.cluster.ray import run_clips

    return run_clips(runner, clips, address, gpus_per_actor, brief=True)


def _dry_run(clips: list[Clip], spec: PipelineSpec, folder: str) -> None:
    from msapipe.cache import open_store
    from msapipe.errors import MsapipeError
    from msapipe.pipeline.plan import plan
    from msapipe.report.marks import on_one_line

    store = open_store(folder)
    for clip in clips:
        try:
            planned = plan(clip, spec, store)
        except MsapipeError as error:
            print(f"error  {on_one_line(str(error))}")
            continue
        todo = [step.name for step in planned.steps if not step.stored]
        says = f"would compute at most {', '.join(todo)}" if todo else "all in the cache"
        print(f"{on_one_line(str(clip.path))}: {says}")
