"""msapipe embed: a map of a model's fused features, and how strongly its errors correlate with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from msapipe.cli import _options as options
from msapipe.cli import _training as training

if TYPE_CHECKING:
    from msapipe.train.embedding import Embedding

Color = Literal["error", "label", "cluster"]


def embed(
    features: training.Features,
    model: Annotated[
        list[str],
        typer.Option("--model", "-m", help="A model folder, or a name; twice: side by side.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The figure to write: .png, .svg or .pdf.", show_default=False)
    ],
    labels: training.Labels = None,
    split: Annotated[str, typer.Option(help="train, valid, test or all.")] = "test",
    feature: Annotated[str, typer.Option(help="Which feature of the model is mapped.")] = "fused",
    color: Annotated[Color, typer.Option(help="What colours the points: error, label or cluster.")] = "error",
    scale: training.Scale = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the shuffles.")] = 0,
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Map features that the model was not trained on.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    quiet: options.Quiet = False,
) -> int:
    """Draw a t-SNE map of a model's features, and print how strongly errors correlate with it (PSC of AGFN).

    PSC is the mean absolute correlation of |label - prediction| with the two axes of the map. The axes of t-SNE are
    arbitrary, and PSC depends on the rotation of the map. psc_r, the multiple correlation with both axes, does not.
    The p-values come from 1000 random permutations of the errors. Both measures see linear trends only, and t-SNE
    preserves neighbours, not distances. Averaging over seeds of t-SNE adds nothing: it starts from the two main
    components.
    """
    from msapipe.report.figures import check_figure, draw_embeddings, save
    from msapipe.train.embedding import PERPLEXITY
    from msapipe.train.embedding import embed as embedded

    check_figure(output)
    console = options.console(quiet)
    data = training.open_data(features, labels, scale, console)
    samples = training.choose_split(data, split)
    found = {}
    for name in model:
        card, network = training.open_model(name, data, allow_mismatch)
        mapped = embedded(network, samples, seed, feature)
        found[name] = (f"{card.use}, {data.name}, {split}: {len(mapped.ids)} clips", mapped)
    save(draw_embeddings(list(found.values()), color), output)
    for name, (_, mapped) in found.items():
        about = {"model": name, "data": data.name, "split": split, "clips": len(mapped.ids), "feature": feature}
        _print({**about, "perplexity": mapped.perplexity, "figure": str(output)}, mapped, as_json)
        if mapped.perplexity < PERPLEXITY:
            console.print(f"note: {len(mapped.ids)} clips are few for a map: {mapped.perplexity:.1f} neighbours each")
    console.print(f"wrote {output}", soft_wrap=True)
    return 0


def _print(about: dict[str, object], found: Embedding, as_json: bool) -> None:
    """Print the measures of one map."""
    measures = {name: getattr(found, name) for name in ("psc", "psc_p", "psc_r", "psc_r_p")}
    if as_json:
        worst = {found.ids[i]: found.errors[i] for i in found.highest.tolist()}
        print(json.dumps({**about, **measures, "highest_errors": worst}))
        return
    rows = [{"measure": name, "value": training.shown(value)} for name, value in measures.items()]
    head = [{"measure": name, "value": str(about[name])} for name in ("model", "clips")]
    print(training.markdown([*head, *rows]))
