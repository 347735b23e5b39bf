"""msapipe render: a clip as a film with the results drawn into it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli._streams import escape

ENDINGS = (".mp4", ".m4v", ".mov")


def render(
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="The clip.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The film to write: .mp4.", show_default=False)],
    pipeline: options.ModelPipeline = None,
    model: options.Model = None,
    cache: options.Cache = None,
    device: options.Device = "auto",
    allow_mismatch: options.AllowMismatch = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Draw face boxes, the speaker, the running score and the words into a copy of a clip."""
    from msapipe.cache import open_store
    from msapipe.errors import MediaError
    from msapipe.pipeline.explain import explain
    from msapipe.pipeline.model_pipeline import choose_spec
    from msapipe.pipeline.run import Options, Runner
    from msapipe.pipeline.scoring import model_of
    from msapipe.report.burnt_film import render_film
    from msapipe.types import Clip

    console = options.console(quiet, verbose)
    spec = choose_spec(pipeline, model)
    scorer, spec = model_of(model, spec, [], allow_mismatch)
    _check_output(output, Path(clip))
    how = Options(device, must_keep=False, offline=offline)
    with Runner(spec, open_store(options.cache_folder(cache)), how) as runner:
        outcome = runner.run(Clip(Path(clip).name, Path(clip)))
        if outcome.error is not None:
            raise MediaError(outcome.error)
        found = scorer.predict(outcome, runner.store)
        count = render_film(output, outcome, found, explain(outcome, found, scorer, runner), spec)
    for note in found.notes:
        console.print(f"note: {escape(note)}")
    console.print(f"wrote {escape(str(output))}: {count} pictures, score {found.score:+.2f}", soft_wrap=True)
    return 0


def _check_output(output: Path, clip: Path) -> None:
    """Raise ConfigError, before any computation, if the film cannot be written."""
    from msapipe.errors import ConfigError

    if output.suffix.lower() not in ENDINGS:
        raise ConfigError(f"--output {output}: found the ending {output.suffix!r}, a film ends in {', '.join(ENDINGS)}")
    if not output.absolute().parent.is_dir():
        raise ConfigError(f"--output {output}: there is no folder {output.parent}; make it first")
    if output.exists() and clip.exists() and output.samefile(clip):
        raise ConfigError(f"--output {output} is the clip itself; name another file")
