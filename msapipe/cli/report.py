"""msapipe report: pages about clips, for a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli._streams import escape, tell_errors

if TYPE_CHECKING:
    from msapipe.datasets import Example
    from msapipe.pipeline.predict import Model
    from msapipe.pipeline.run import Outcome
    from msapipe.report.clips_page import Line
    from msapipe.types import Prediction


def report(
    paths: options.Paths,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the pages.")] = Path("report"),
    pipeline: options.ModelPipeline = None,
    model: options.Model = None,
    dataset: options.DataSet = "",
    cache: options.Cache = None,
    pages: Annotated[
        bool, typer.Option("--pages/--no-pages", help="Write a page for each clip, not only the one of all.")
    ] = True,
    jobs: options.Jobs = 0,
    device: options.Device = "auto",
    limit: options.Limit = None,
    allow_mismatch: options.AllowMismatch = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Score clips; write a page about each, and one about all: FOLDER/index.html."""
    from msapipe.cache import open_store
    from msapipe.cli import _batch as batch
    from msapipe.cli import _exit
    from msapipe.cli._teller import write_page
    from msapipe.engines.local import run_clips
    from msapipe.errors import ConfigError, MsapipeError
    from msapipe.pipeline.explain import explain
    from msapipe.pipeline.model_pipeline import choose_spec
    from msapipe.pipeline.run import Options, Runner
    from msapipe.pipeline.scoring import model_of, scored
    from msapipe.report.clips_page import write_clips_page

    console = options.console(quiet, verbose)
    spec = choose_spec(pipeline, model)
    scorer, spec = model_of(model, spec, [], allow_mismatch)
    how = Options(device, must_keep=False, offline=offline)
    folder = options.cache_folder(cache)
    tally = batch.Tally()
    examples = {example.clip.id: example for example in batch.sort_out(paths, tally, limit, dataset)}
    if not examples and not tally.errors:
        raise MsapipeError(f"nothing to report on in {' '.join(paths)}: no media file was found")
    try:
        (output / "clips").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {output} is no folder to write to: {error.strerror}; name another") from error
    tell_errors(tally.errors, console)
    lines: list[Line] = []
    with Runner(spec, open_store(folder), how) as runner:
        outcomes = scored(run_clips(runner, [one.clip for one in examples.values()], jobs), scorer, runner)
        for outcome in batch.with_progress(outcomes, len(examples), tally, console):
            found: Prediction | None = outcome.values.get("prediction")
            if found is None:
                continue
            page = f"clips/{_page_name(len(lines), outcome.clip.id)}" if pages else ""
            if pages:
                why = explain(outcome, found, scorer, runner)
                write_page(output / page, outcome, found, why, runner, None, home="../index.html")
            lines.append(_line(outcome, found, page, examples[outcome.clip.id], scorer))
    lines.sort(key=lambda line: line.name)
    about = [("model", scorer.name), ("pipeline", f"{spec.name}: {spec.about}"), ("time", f"{tally.seconds:.1f} s")]
    write_clips_page(output / "index.html", lines, tally.numbers, about)
    console.print(f"wrote {escape(str(output / 'index.html'))} and {len(lines) if pages else 0} pages of clips")
    return _exit.of_counts(tally.numbers.good, tally.numbers.status["error"])


def _page_name(number: int, clip_id: str) -> str:
    """A file name that tells people which clip it is, and is safe in any file system and address."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", clip_id).strip("._")[:60]
    return f"{number:05d}-{plain or 'clip'}.html"


def _line(outcome: Outcome, found: Prediction, page: str, example: Example, model: Model) -> Line:
    from msapipe.report.clips_page import Line

    words = outcome.values.get("transcript")
    given = example.labels.get("M")
    return Line(
        name=outcome.clip.id,
        page=page,
        prediction=found,
        words=words.text if words is not None else "",
        missing=found.missing,
        label=None if given is None else model.card.label(given, None),
    )
