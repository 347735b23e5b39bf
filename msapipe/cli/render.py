"""msapipe render: a clip as a film with what was found burnt in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msapipe.cli import _options as options

ENDINGS = (".mp4", ".m4v", ".mov")


def render(
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="The clip.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The film to write: .mp4.", show_default=False)],
    pipeline: options.ModelRecipe = None,
    model: options.Model = None,
    cache: options.Cache = None,
    device: options.Device = "auto",
    allow_mismatch: options.AllowMismatch = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Burn face boxes, the speaker, the running score and the words into a copy of a clip."""
    from msapipe.cache import open_store
    from msapipe.cli._batch import escape
    from msapipe.errors import MediaError
    from msapipe.pipeline.explain import explain
    from msapipe.pipeline.model_recipe import choose_recipe
    from msapipe.pipeline.run import Options, Runner
    from msapipe.pipeline.scoring import model_of
    from msapipe.report.burnt_film import render_film
    from msapipe.types import Clip

    console = options.console(quiet, verbose)
    recipe = choose_recipe(pipeline, model)
    scorer, recipe = model_of(model, recipe, [], allow_mismatch)
    _check_output(output, Path(clip))
    how = Options(device, must_keep=False, offline=offline)
    with Runner(recipe, open_store(options.cache_folder(cache)), how) as runner:
        outcome = runner.run(Clip(Path(clip).name, Path(clip)))
        if outcome.error is not None:
            raise MediaError(outcome.error)
        found = scorer.predict(outcome, runner.store)
        count = render_film(output, outcome, found, explain(outcome, found, scorer, runner), recipe)
    for note in found.notes:
        console.print(f"note: {escape(note)}")
    console.print(f"wrote {escape(str(output))}: {count} pictures, score {found.score:+.2f}", soft_wrap=True)
    return 0


def _check_output(output: Path, clip: Path) -> None:
    """Raise RecipeError, before anything is computed, where the film cannot be written."""
    from msapipe.errors import RecipeError

    if output.suffix.lower() not in ENDINGS:
        raise RecipeError(f"--output {output}: found the ending {output.suffix!r}, a film ends in {', '.join(ENDINGS)}")
    if not output.absolute().parent.is_dir():
        raise RecipeError(f"--output {output}: there is no folder {output.parent}; make it first")
    if output.exists() and clip.exists() and output.samefile(clip):
        raise RecipeError(f"--output {output} is the clip itself; name another file")
