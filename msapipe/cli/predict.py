"""msapipe predict: the sentiment of clips, and what it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msapipe.cli import _options as options

if TYPE_CHECKING:
    from msapipe.pipeline.pipeline import Pipeline
    from msapipe.pipeline.run import Outcome
    from msapipe.types import Prediction


def predict(
    paths: options.Paths,
    pipeline: options.Recipe = "pocket",
    model: Annotated[
        str | None, typer.Option("--model", "-m", envvar="MSAPIPE_MODEL", help="A model instead of the recipe's own.")
    ] = None,
    cache: options.Cache = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line and clip on standard output.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write one JSON line a clip to this file.")] = None,
    jobs: options.Jobs = 0,
    device: options.Device = "auto",
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many clips.")] = None,
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Score with features that the model was not trained on.")
    ] = False,
    retry: options.Retry = False,
    offline: options.Offline = False,
    accept_licence: options.AcceptLicence = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Score clips: sentiment, what each modality contributed, and what is missing."""
    from msapipe.cli import _batch as batch
    from msapipe.cli import _exit
    from msapipe.engines.local import run_clips
    from msapipe.errors import MsapipeError, RecipeError
    from msapipe.pipeline.pipeline import Pipeline
    from msapipe.pipeline.recipe import load_recipe
    from msapipe.pipeline.run import Options, resolve_device

    console = options.console(quiet, verbose)
    recipe = load_recipe(pipeline)
    options.accept_licences(accept_licence, recipe)
    if device not in ("auto", "cpu"):
        resolve_device(device)
    run_options = Options(device, retry=retry, must_keep=False, offline=offline)
    folder = options.cache_folder(cache)
    with (
        batch.report_file(report) as lines,
        Pipeline(recipe, folder, model, run_options, allow_mismatch) as scorer,
    ):
        if scorer.model is None:
            raise RecipeError(f"recipe {recipe.name} names no model; give one with --model (msapipe list models)")
        tally = batch.Tally(lines)
        clips = [example.clip for example in batch.sort_out(paths, tally, limit)]
        for error in tally.errors:
            console.print(f"[red]error[/red] {batch.escape(error)}", soft_wrap=True)
        outcomes = run_clips(clips, recipe, folder, run_options, jobs)
        for outcome in batch.with_progress(_scored(outcomes, scorer), len(clips), tally, console, printing=True):
            found = outcome.values.get("prediction")
            if as_json:
                print(json.dumps(as_object(outcome, found)), flush=True)
            elif found is not None:
                _show(outcome, found)
    if len(clips) > 1 and not quiet:
        batch.closing_table(tally, console, folder)
    if not clips and not tally.errors:
        raise MsapipeError(f"nothing to score in {' '.join(paths)}: no media file was found")
    return _exit.of_counts(tally.good, tally.status["error"])


def _scored(outcomes: Any, scorer: Pipeline) -> Any:
    """Outcomes with their prediction; a clip that cannot be scored becomes an error."""
    import time

    from msapipe.errors import MsapipeError

    for outcome in outcomes:
        if outcome.status != "error":
            begun = time.perf_counter()
            try:
                whole = outcome if outcome.features else next(scorer.run([outcome.clip]))
                outcome.values = {**whole.values, "prediction": scorer.score(whole)}
            except MsapipeError as error:
                outcome.status, outcome.error = "error", str(error)
            outcome.timings["fusion"] = time.perf_counter() - begun
            outcome.seconds += outcome.timings["fusion"]
        yield outcome


def as_object(outcome: Outcome, found: Prediction | None) -> dict[str, Any]:
    """What ``--json`` prints of a clip; its names are kept from version to version."""
    from dataclasses import asdict

    head: dict[str, Any] = {"clip_id": outcome.clip.id, "file": str(outcome.clip.path), "status": outcome.status}
    if found is None:
        return {**head, "score": None, "error": outcome.error, "notes": list(outcome.notes)}
    words = outcome.values.get("transcript")
    return {
        **head,
        "score": round(found.score, 4),
        "scale": list(found.scale),
        "polarity": round(found.polarity, 4),
        "label": found.label,
        "model": found.model,
        "modalities": {name: asdict(part) for name, part in found.modalities.items()},
        "missing": list(found.missing),
        "transcript": {
            "text": words.text if words else "",
            "source": words.source if words else "none",
            "language": words.language if words else None,
        },
        "notes": [*outcome.notes, *found.notes],
        "seconds": round(outcome.seconds, 3),
        "timings": {name: round(seconds, 3) for name, seconds in outcome.timings.items()},
    }


def _show(outcome: Outcome, found: Prediction) -> None:
    """A prediction for people, on standard output."""
    from rich.console import Console
    from rich.table import Table

    from msapipe.cli._batch import escape

    out = Console(highlight=False)
    low, high = found.scale
    colour = {"negative": "red", "positive": "green"}.get(found.label, "yellow")
    out.print(f"[bold]{escape(str(outcome.clip.path))}[/bold]")
    out.print(f"  [{colour} bold]{found.score:+.2f}  {found.label}[/]  on [{low:+g}, {high:+g}], model {found.model}")
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for name in ("modality", "alone", "score without it", "coverage"):
        table.add_column(name, justify="left" if name == "modality" else "right", style="dim" if name == "" else "")
    for name, part in found.modalities.items():
        if part.missing:
            table.add_row(name, "missing", "", "0%")
        else:
            table.add_row(name, _number(part.score), _number(part.score_without), f"{part.coverage:.0%}")
    out.print(table)
    words = outcome.values.get("transcript")
    if words is not None and words.words:
        out.print(f"  transcript ({escape(words.source)}): {escape(words.text)}", soft_wrap=True)
    for note in (*outcome.notes, *found.notes):
        out.print(f"  note: {escape(note)}", soft_wrap=True)
    spent = ", ".join(f"{name} {seconds:.2f}" for name, seconds in outcome.timings.items() if seconds >= 0.005)
    out.print(f"  time: {outcome.seconds:.2f} s ({spent or 'all from the cache'})", style="dim", soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
