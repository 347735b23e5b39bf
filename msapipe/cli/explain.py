"""msapipe explain: a figure of a model's diagnostics for one clip: gates, shifts, attention."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli import _training as training


def explain(
    features: training.Features,
    clip: Annotated[str, typer.Option("--clip", help="The id of the clip.", show_default=False)],
    model: Annotated[str, typer.Option("--model", "-m", help="A model folder, or a name.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The figure to write: .png, .svg or .pdf.", show_default=False)
    ],
    labels: training.Labels = None,
    scale: training.Scale = None,
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Explain features that the model was not trained on.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    quiet: options.Quiet = False,
) -> int:
    """Draw gates, weights, shifts and attention of a model for one clip, with its words if they match the steps."""
    from msapipe.errors import UnknownName
    from msapipe.registry import did_you_mean
    from msapipe.report.figures import check_figure, draw_diagnostics, save
    from msapipe.train.evaluate import predict_samples
    from msapipe.train.per_clip import records

    check_figure(output)
    console = options.console(quiet)
    data = training.open_data(features, labels, scale, console)
    _, network = training.open_model(model, data, allow_mismatch)
    known = {sample.id: sample for sample in data.samples}
    if clip not in known:
        near = [name for name in known if clip.casefold() in name.casefold()][:20]
        raise UnknownName(f"--clip {clip}: {data.name} has no such clip{did_you_mean(clip, near or [*known][:20])}")
    sample = known[clip]
    (record,) = records(network, [sample], predict_samples(network, [sample]))
    save(draw_diagnostics(record, sample.text.split()), output)
    if as_json:
        print(json.dumps({**record, "figure": str(output)}, ensure_ascii=False))
    console.print(f"wrote {output}", soft_wrap=True)
    return 0
