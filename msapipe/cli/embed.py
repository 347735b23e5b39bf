"""msapipe embed: a map of a model's fused features, and how far its errors follow the map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli import _training as training


def embed(
    features: training.Features,
    model: Annotated[str, typer.Option("--model", "-m", help="A model folder, or a name.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The figure to write: .png, .svg or .pdf.", show_default=False)
    ],
    labels: training.Labels = None,
    split: Annotated[str, typer.Option(help="train, valid, test or all.")] = "test",
    scale: training.Scale = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the shuffles.")] = 0,
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Map features that the model was not trained on.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    quiet: options.Quiet = False,
) -> int:
    """Draw the fused features as a map by t-SNE, coloured by error, and say how far errors follow it (PSC of AGFN).

    PSC is the mean absolute correlation of |label - prediction| with the two axes of the map. The axes of t-SNE are
    arbitrary, and PSC is not rotation invariant: the same map, turned, has another. psc_r, the multiple correlation
    with both axes, is. The p-values are those of 1000 shuffles of the errors. Both measures see linear trends only,
    and t-SNE keeps neighbours, not distances. Averaging over seeds of t-SNE adds nothing: it begins at the two main
    components.
    """
    from msapipe.report.figures import check_figure, draw_embedding, save
    from msapipe.train.embedding import PERPLEXITY
    from msapipe.train.embedding import embed as embedded

    check_figure(output)
    console = options.console(quiet)
    data = training.open_data(features, labels, scale, console)
    card, network = training.open_model(model, data, allow_mismatch)
    samples = training.choose_split(data, split)
    found = embedded(network, samples, seed)
    save(draw_embedding(found, f"{card.use}, {data.name}, {split}: {len(found.ids)} clips"), output)
    measures = {name: getattr(found, name) for name in ("psc", "psc_p", "psc_r", "psc_r_p")}
    if as_json:
        worst = {found.ids[i]: found.errors[i] for i in found.highest.tolist()}
        about = {"model": model, "data": data.name, "split": split, "clips": len(found.ids), "perplexity": PERPLEXITY}
        print(json.dumps({**about, **measures, "highest_errors": worst, "figure": str(output)}))
    else:
        rows = [{"measure": name, "value": training.shown(value)} for name, value in measures.items()]
        print(training.markdown([{"measure": "clips", "value": str(len(found.ids))}, *rows]))
    console.print(f"wrote {output}", soft_wrap=True)
    return 0
