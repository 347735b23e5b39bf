"""msapipe compare: several fusion models on the same features, with the same seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli import _training as training
from msapipe.errors import RecipeError


def compare(
    features: training.Features,
    models: Annotated[str, typer.Option("--models", "-m", help="Names, separated by commas.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the tables and of the runs.")] = Path(
        "comparison"
    ),
    labels: training.Labels = None,
    pipeline: training.Pipeline = None,
    dataset: options.DataSet = "",
    assignments: training.Assignments = None,
    seeds: training.Seeds = "1111,1112,1113",
    modalities: training.Modalities = "",
    scale: training.Scale = None,
    folds: Annotated[
        int | None, typer.Option(min=3, help="Cross-validation by video instead of the split: so many folds.")
    ] = None,
    published: Annotated[
        Path | None, typer.Option(help="A CSV of published results (model, metric, value) to print beside.")
    ] = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> int:
    """Train each model once a seed, and print means, deviations, sizes, times and a paired test."""
    from msapipe.train.comparison import compare_runs, cross_validation, joined, read_published, write_csv

    console = options.console(quiet)
    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise RecipeError("--models: name at least one, as in tfn,lmf,mult (msapipe list)")
    data = training.open_data(features, labels, scale, console, pipeline, dataset, device)
    parts = cross_validation(data, folds) if folds else [data]
    runs = {}
    for name in names:
        studies = [training.open_study(part, name, assignments, modalities, output / "runs") for part in parts]
        of_parts = [training.run_seeds(study, seeds, device, "32-true", console) for study in studies]
        runs[name] = [joined(data, list(of_seed)) for of_seed in zip(*of_parts, strict=True)] if folds else of_parts[0]
    rows = compare_runs(data, runs, read_published(published) if published else {}, parts)
    table = training.markdown(rows)
    output.mkdir(parents=True, exist_ok=True)
    (output / "comparison.md").write_text(table + "\n", encoding="utf-8")
    write_csv(output / "comparison.csv", rows)
    print(table)
    console.print(f"wrote {output / 'comparison.md'} and comparison.csv", soft_wrap=True)
    return 0
