"""msapipe evaluate: a model on labelled features, or on the clips of a labelled data set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msapipe.cli import _options as options
from msapipe.cli import _training as training
from msapipe.cli._streams import tell_notes

if TYPE_CHECKING:
    from rich.console import Console

    from msapipe.fusion._base import FusionModel, Output
    from msapipe.pipeline.card import Card
    from msapipe.pipeline.spec import PipelineSpec
    from msapipe.train.metrics import Confusion
    from msapipe.types import Sample


@dataclass(frozen=True)
class _Asked:
    """What to evaluate, and how."""

    data: Path
    model: str
    labels: Path | None
    split: str | None
    limit: int | None
    as_json: bool
    console: Console
    per_clip: Path | None = None
    confusion: bool = False
    without: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()


def evaluate(
    data: Annotated[
        Path,
        typer.Argument(
            help="Features (.safetensors of `msapipe extract -o`, .pkl of MMSA), or a folder of clips with label.csv.",
            show_default=False,
        ),
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="A model folder, or a name.", show_default=False)],
    labels: training.Labels = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="train, valid, test or all.",
            show_default="test; of folders without one, all",
            metavar="SPLIT",
        ),
    ] = None,
    scale: training.Scale = None,
    pipeline: Annotated[
        str | None,
        typer.Option(
            "--pipeline",
            "-p",
            envvar="MSAPIPE_PIPELINE",
            help="Pipeline for clips: a name or a .yaml file.",
            show_default="the one that the model was trained on",
        ),
    ] = None,
    dataset: options.DataSet = "",
    per_clip: Annotated[
        Path | None,
        typer.Option(
            help="Write what the model says of each clip, with labels, gates and all: .csv, or .jsonl, which holds "
            "attention too."
        ),
    ] = None,
    confusion: Annotated[bool, typer.Option("--confusion", help="Show which classes are taken for which.")] = False,
    without: Annotated[
        list[str] | None, typer.Option(help="Measure with this modality missing; repeatable.", metavar="MODALITY")
    ] = None,
    noise: Annotated[
        list[str] | None,
        typer.Option(help="Measure with noise on the features, as in audio=10dB; repeatable.", metavar="MODALITY=dB"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Measure only so many of the rows, evenly apart.")] = None,
    cache: options.Cache = None,
    jobs: options.Jobs = 0,
    device: options.Device = "auto",
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Score features that the model was not trained on.")
    ] = False,
    offline: options.Offline = False,
    accept_licence: options.AcceptLicence = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    quiet: options.Quiet = False,
) -> int:
    """Score a model against labels: accuracy in the field's conventions, F1, MAE, correlation."""
    from msapipe.datasets import reader_of
    from msapipe.datasets.folder import Folder
    from msapipe.errors import ConfigError, MsapipeError
    from msapipe.formats import is_known
    from msapipe.pipeline.run import Options
    from msapipe.train.per_clip import check_file

    console = options.console(quiet)
    worse = tuple(without or ()), tuple(noise or ())
    asked = _Asked(data, model, labels, split, limit, as_json, console, per_clip, confusion, *worse)
    if data.suffix.lower() == ".zip":
        raise MsapipeError(f"{data}: a zip archive is not opened; type: unzip {data} -d {data.with_suffix('')}")
    if data.suffix.lower() == ".csv":
        raise MsapipeError(f"{data}: a table holds no features; name the folder of its clips, or features (extract -o)")
    if per_clip is not None:
        check_file(per_clip)
    if not data.is_dir() or (not dataset and is_known(data)):
        return _features(asked, scale, allow_mismatch)
    if scale is not None:
        raise ConfigError(f"--scale belongs to features, and {data} holds none")
    reader = reader_of(data, dataset)
    if isinstance(reader, Folder) and labels is None:
        raise MsapipeError(f"{data}: holds no label.csv; type: msapipe data new {data}, or name a table with --labels")
    card, spec = _pipeline(model, pipeline, allow_mismatch)
    options.accept_licences(accept_licence, spec)
    how = Options(device, offline=offline)
    samples = training.extracted(data, dataset, spec, options.cache_folder(cache), how, console, jobs)
    return _clips(asked, card, spec, samples, reader.scale)


def _features(asked: _Asked, scale: str | None, allow_mismatch: bool) -> int:
    """Evaluate a model on extracted features."""
    data = training.open_data(asked.data, asked.labels, scale, asked.console)
    card, network = training.open_model(asked.model, data, allow_mismatch)
    split = asked.split or "test"
    samples = _some(training.choose_split(data, split), asked.limit)
    return _score(asked, card, network, samples, split)


def _clips(
    asked: _Asked, card: Card, spec: PipelineSpec, samples: list[Sample], scale: tuple[float, float] | None
) -> int:
    """Run a data set's clips through pipeline and model; scale: that of the data set's labels."""
    from msapipe.errors import MsapipeError
    from msapipe.pipeline.card import model_folder
    from msapipe.pipeline.network import load_network
    from msapipe.train.labels import read_labels, with_labels

    if asked.labels is not None:
        samples, notes = with_labels(samples, read_labels(asked.labels), asked.labels)
        tell_notes(notes, asked.console)
    labelled = [sample for sample in samples if "M" in sample.labels]
    if not labelled:
        raise MsapipeError(f"{asked.data}: no clip has a label; fill in the column label of its label.csv")
    if scale is not None and scale != tuple(card.scale):
        tell_notes([f"labels lie in {scale}, scores in {tuple(card.scale)}: only correlations compare"], asked.console)
    network = load_network(model_folder(asked.model, _beside(spec)), card, asked.model)
    return _score(asked, card, network, *_choose(labelled, asked))


def _score(asked: _Asked, card: Card, network: FusionModel, samples: list[Sample], split: str) -> int:
    """Print a model's metrics on labelled samples, corrupted first if requested."""
    from msapipe.cli._exit import OK
    from msapipe.train import per_clip
    from msapipe.train.evaluate import predict_samples, scores_of
    from msapipe.train.table import labels_of

    samples = _worse(asked, network, samples)
    output = predict_samples(network, samples)
    scores = scores_of(network, output, labels_of(samples), card.scale)
    matrices = _confusions(network, samples, output, card.scale) if asked.confusion else {}
    if asked.per_clip is not None:
        left = per_clip.write(asked.per_clip, per_clip.records(network, samples, output))
        tell_notes([f"{', '.join(left)}: too long for a table, a .jsonl has them"] if left else [], asked.console)
        asked.console.print(f"wrote {asked.per_clip}", soft_wrap=True)
    if asked.as_json:
        about = {"model": asked.model, "data": asked.data.name, "split": split, "clips": len(samples)}
        about |= {"without": list(asked.without), "noise": list(asked.noise)} if asked.without or asked.noise else {}
        tables = {name: {"classes": part.classes, "counts": part.counts.tolist()} for name, part in matrices.items()}
        print(json.dumps({**about, **scores, **({"confusion": tables} if tables else {})}))
        return OK
    values = {"clips": len(samples), **scores}
    print(training.markdown({"metric": name, "value": _shown(value)} for name, value in values.items()))
    for name, part in matrices.items():
        rows = [
            {f"{name}: true": label, **dict(zip(part.classes, map(str, counts), strict=True))}
            for label, counts in zip(part.classes, part.counts.tolist(), strict=True)
        ]
        print(f"\n{training.markdown(rows)}")
    return OK


def _worse(asked: _Asked, network: FusionModel, samples: list[Sample]) -> list[Sample]:
    """The samples without some modalities, or with noise on them."""
    from msapipe.train.corruption import noisy, parse_noise, without

    reads = tuple(network.dims)
    if asked.noise:
        samples = noisy(samples, parse_noise(asked.noise), reads)
    return without(samples, asked.without, reads) if asked.without else samples


def _confusions(
    network: FusionModel, samples: list[Sample], output: Output, scale: tuple[float, float]
) -> dict[str, Confusion]:
    """Confusion matrices over the labelled clips; from the classification head if there is one."""
    from msapipe.train.metrics import confusions, of_classes, scheme_of

    known = [row for row, sample in enumerate(samples) if "M" in sample.labels]
    truth = [samples[row].labels["M"] for row in known]
    if output.classes is not None:
        return {"class_acc": of_classes(truth, output.classes[known].numpy(), network.class_edges)}
    return confusions(truth, output.score[known].numpy(), scheme_of(scale))


def _pipeline(model: str, named: str | None, allow_mismatch: bool) -> tuple[Card, PipelineSpec]:
    """The model's card, and the named pipeline, or the one that the model was trained on."""
    from msapipe.pipeline.card import check_features, model_folder, read_card
    from msapipe.pipeline.model_pipeline import choose_spec

    spec = choose_spec(named, model)
    card = read_card(model_folder(model, _beside(spec)))
    if not allow_mismatch:
        check_features(card, spec, model)
    return card, spec


def _beside(spec: PipelineSpec) -> Path | None:
    return spec.source.parent if spec.source else None


def _choose(rows: list[Sample], asked: _Asked) -> tuple[list[Sample], str]:
    """The requested rows and the name of their split: test, or all when no row is in test."""
    from msapipe.errors import ConfigError

    there = sorted({row.split for row in rows if row.split is not None})
    split = asked.split or ("test" if "test" in there else "all")
    chosen = [row for row in rows if split in ("all", row.split)]
    if not chosen:
        raise ConfigError(f"--split {split}: {asked.data} has no such rows; expected {', '.join([*there, 'all'])}")
    if asked.split is None and split == "all" and "train" in there:
        tell_notes(
            ["no row is of test, all are measured, also those of train; choose others with --split"], asked.console
        )
    return _some(chosen, asked.limit), split


def _some(rows: list[Sample], limit: int | None) -> list[Sample]:
    """At most ``limit`` rows, evenly spaced, since tables are often sorted by label."""
    if limit is None or limit >= len(rows):
        return rows
    return [rows[number * len(rows) // limit] for number in range(limit)]


def _shown(value: Any) -> str:
    """One value as text."""
    return training.shown(value) if value is None or isinstance(value, float) else str(value)
