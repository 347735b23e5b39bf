"""msapipe evaluate: a trained model on labelled features."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli import _training as training


def evaluate(
    features: training.Features,
    model: Annotated[str, typer.Option("--model", "-m", help="A model folder, or a name.", show_default=False)],
    labels: training.Labels = None,
    split: Annotated[str, typer.Option(help="train, valid, test or all.")] = "test",
    scale: training.Scale = None,
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Score features that the model was not trained on.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    quiet: options.Quiet = False,
) -> int:
    """Score labelled features with a trained model: accuracy in the field's conventions, F1, MAE, correlation."""
    from msapipe.train.evaluate import score_samples

    console = options.console(quiet)
    data = training.open_data(features, labels, scale, console)
    card, network = training.open_model(model, data, allow_mismatch)
    samples = training.choose_split(data, split)
    scores = score_samples(network, samples, card.scale)
    if as_json:
        print(json.dumps({"model": model, "data": data.name, "split": split, "clips": len(samples), **scores}))
    else:
        rows = [{"metric": name, "value": training.shown(value)} for name, value in scores.items()]
        print(training.markdown([{"metric": "clips", "value": str(len(samples))}, *rows]))
    return 0
