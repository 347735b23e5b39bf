"""msapipe train: train a fusion model on extracted features and write a model folder for predict."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli import _training as training


def train(
    features: training.Features,
    output: Annotated[Path, typer.Option("--output", "-o", help="The model folder to write.", show_default=False)],
    model: Annotated[str, typer.Option("--model", "-m", help="A fusion model (msapipe list).")] = "late",
    labels: training.Labels = None,
    pipeline: training.Pipeline = None,
    dataset: options.DataSet = "",
    assignments: training.Assignments = None,
    preset: training.Preset = None,
    seeds: training.Seeds = "1111,1112,1113",
    modalities: training.Modalities = "",
    scale: training.Scale = None,
    device: options.Device = "auto",
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed or 16-mixed.")] = "32-true",
    tensorboard: Annotated[Path | None, typer.Option(help="Write curves for TensorBoard below this folder.")] = None,
    quiet: options.Quiet = False,
) -> int:
    """Train a fusion model, once per seed. A killed training resumes where it stopped."""
    console = options.console(quiet)
    data = training.open_data(features, labels, scale, console, pipeline, dataset, device)
    study = training.open_study(data, model, assignments, modalities, output / ".training", preset)
    runs = training.run_seeds(study, seeds, device, precision, console, tensorboard)
    from msapipe.train.export import export

    best = export(study, runs, output, shlex.join(["msapipe", *sys.argv[1:]]))
    training.show_scores(runs, console)
    console.print(f"wrote {output} (seed {best.seed}); {_next_step(output, features)}", soft_wrap=True)
    return 0


def _next_step(model: Path, features: Path) -> str:
    """What to type next; a model of another tool's features cannot score clips."""
    from msapipe.pipeline.card import foreign, read_card

    if foreign(read_card(model)):
        return (
            "another tool made these features, so it cannot score a raw clip; type: "
            f"msapipe evaluate {features} --model {model}"
        )
    return f"type: msapipe predict CLIP --model {model}"
