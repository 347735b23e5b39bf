"""msapipe tune: search the settings of a fusion model with the smallest error on the validation split."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli import _training as training
from msapipe.cli._streams import escape

if TYPE_CHECKING:
    from msapipe.train.tuning import Trial


def tune(
    features: training.Features,
    model: Annotated[str, typer.Option("--model", "-m", help="A fusion model (msapipe list).", show_default=False)],
    space: Annotated[
        list[str],
        typer.Option(help="What to vary: key=LOW..HIGH, 'key=LOW..HIGH log' or key=A,B,C; repeatable."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the trials.")] = Path("tuning"),
    trials: Annotated[int, typer.Option(min=1, help="How many; more of them later go on from these.")] = 20,
    labels: training.Labels = None,
    pipeline: training.Pipeline = None,
    dataset: options.DataSet = "",
    assignments: training.Assignments = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the search, and of every training in it.")] = 1111,
    modalities: training.Modalities = "",
    scale: training.Scale = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> int:
    """Search for a model's settings by its error on the validation split; the test split is not used.

    Every trial is one training with one seed. A killed search resumes where it stopped. The best of many trials looks
    better on the validation split than it is: train it with several seeds and evaluate it on the test split.
    """
    from msapipe.fusion import fusion_models
    from msapipe.train.tuning import Search, read_space

    console = options.console(quiet)
    fixed = assignments or []
    ways = read_space(fusion_models().get(model), space, fixed)
    search = Search(
        training.open_data(features, labels, scale, console, pipeline, dataset, device),
        lambda data, chosen: training.open_study(data, model, [*fixed, *chosen], modalities, output / "runs"),
        ways,
        output,
        seed,
    )
    done = search.run(
        trials,
        lambda study: training.run_seeds(study, str(seed), device, "32-true", console)[0],
        lambda trial: console.print(escape(_line(trial)), soft_wrap=True),
    )
    table = training.markdown(_row(trial) for trial in sorted(done, key=lambda trial: trial.rank))
    (output / "trials.md").write_text(table + "\n", encoding="utf-8")
    print(table)
    best = min(done, key=lambda trial: trial.rank)
    command = ["msapipe", "train", str(features), "--model", model, "--output", str(output / "model")]
    given = {"--labels": labels, "--modalities": modalities, "--scale": scale}
    command += [word for name, value in given.items() if value for word in (name, str(value))]
    command += [word for text in (*fixed, *best.assignments) for word in ("--set", text)]
    print(f"\nbest: {_line(best)}\n{shlex.join(command)}")
    console.print(f"wrote {output / 'trials.md'}", soft_wrap=True)
    return 0


def _line(trial: Trial) -> str:
    said = f"failed: {trial.reason}" if trial.error is None else f"valid error {trial.error:.4f}"
    return f"trial {trial.number}, {', '.join(trial.assignments)}: {said}"


def _row(trial: Trial) -> dict[str, object]:
    return {
        "trial": trial.number,
        **trial.chosen,
        "valid mae": "failed" if trial.error is None else f"{trial.error:.4f}",
        "epochs": trial.epochs,
        "parameters": f"{trial.parameters:,}",
        "seconds": f"{trial.seconds:.1f}",
    }
