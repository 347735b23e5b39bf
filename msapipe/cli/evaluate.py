"""msapipe evaluate: a model on labelled features, on labelled texts, or its heads on labelled photographs or sounds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeVar

import typer

from msapipe.cli import _options as options
from msapipe.cli import _training as training
from msapipe.cli._clips import extracted

if TYPE_CHECKING:
    from rich.console import Console

    from msapipe.cli._batch import Tally
    from msapipe.fusion._base import FusionModel
    from msapipe.pipeline.card import Card
    from msapipe.pipeline.recipe import Recipe
    from msapipe.pipeline.run import Options, Outcome
    from msapipe.train.heads import LabelledFile, Reading
    from msapipe.types import Sample


def evaluate(
    data: Annotated[
        Path,
        typer.Argument(
            help="Features (.safetensors of `msapipe extract -o`, .pkl of MMSA); a folder of clips with label.csv; a "
            "label.csv whose texts are scored; or a folder of photographs or sounds with labels.csv (image or file, "
            "emotion) that a head is measured on.",
            show_default=False,
        ),
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="A model folder, or a name.", show_default=False)],
    labels: training.Labels = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="train, valid, test or all.",
            show_default="test; of texts and folders without one, all",
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
            help="Recipe for clips, texts and folders: a name or a .yaml file.",
            show_default="the one that the model was trained on",
        ),
    ] = None,
    dataset: options.DataSet = "",
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
    """Score a model against labels: accuracy in the field's conventions, F1, MAE, correlation; recalls of its heads."""
    from msapipe.datasets import reader_of
    from msapipe.errors import MsapipeError, RecipeError
    from msapipe.pipeline.run import Options

    asked = _Asked(data, model, labels, split, limit, as_json, options.console(quiet))
    if data.suffix.lower() == ".zip":
        raise MsapipeError(f"{data}: a zip archive is not opened; type: unzip {data} -d {data.with_suffix('')}")
    kind = _kind(data, dataset)
    if kind == "features":
        return _features(asked, scale, allow_mismatch)
    if scale is not None or (labels is not None and kind == "texts"):
        raise RecipeError(f"{'--labels' if scale is None else '--scale'} belongs to features, and {data} holds none")
    card, recipe = _recipe(model, pipeline, allow_mismatch)
    options.accept_licences(accept_licence, recipe)
    how = Options(device, must_keep=kind == "clips", offline=offline)
    if kind == "clips":
        samples = extracted(data, dataset, recipe, options.cache_folder(cache), how, asked.console, jobs)
        return _clips(asked, card, recipe, samples, reader_of(data, dataset).scale)
    if kind == "heads":
        return _folder(asked, recipe, options.cache_folder(cache), how, jobs)
    return _texts(asked, card, recipe, how)


def _kind(data: Path, dataset: str) -> Literal["features", "clips", "texts", "heads"]:
    """What is to be measured, by what lies at ``data``."""
    from msapipe.datasets import reader_of
    from msapipe.datasets.folder import Folder
    from msapipe.exchange import is_known

    if not data.is_dir():
        return "texts" if data.suffix.lower() == ".csv" else "features"
    if dataset:
        return "clips"
    if is_known(data):
        return "features"
    return "heads" if (data / "labels.csv").is_file() or isinstance(reader_of(data), Folder) else "clips"


@dataclass(frozen=True)
class _Asked:
    """What is asked of data of any kind."""

    data: Path
    model: str
    labels: Path | None
    split: str | None
    limit: int | None
    as_json: bool
    console: Console


def _features(asked: _Asked, scale: str | None, allow_mismatch: bool) -> int:
    """Features that were extracted before, through the model."""
    data = training.open_data(asked.data, asked.labels, scale, asked.console)
    card, network = training.open_model(asked.model, data, allow_mismatch)
    split = asked.split or "test"
    samples = _some(training.choose_split(data, split), asked.limit)
    return _score(asked, card, network, samples, split)


def _clips(asked: _Asked, card: Card, recipe: Recipe, samples: list[Sample], scale: tuple[float, float] | None) -> int:
    """Clips of a data set through the recipe, and through the model; scale: that of the data set's labels."""
    from msapipe.errors import MsapipeError
    from msapipe.pipeline.card import model_folder
    from msapipe.pipeline.network import load_network
    from msapipe.train.labels import read_labels, with_labels

    if asked.labels is not None:
        samples, notes = with_labels(samples, read_labels(asked.labels), asked.labels)
        _tell(notes, asked.console)
    labelled = [sample for sample in samples if "M" in sample.labels]
    if not labelled:
        raise MsapipeError(f"{asked.data}: no clip has a label; fill in the column label of its label.csv")
    if scale is not None and scale != tuple(card.scale):
        _tell([f"labels lie in {scale}, scores in {tuple(card.scale)}: only correlations compare"], asked.console)
    network = load_network(model_folder(asked.model, _beside(recipe)), card, asked.model)
    return _score(asked, card, network, *_choose(labelled, asked))


def _score(asked: _Asked, card: Card, network: FusionModel, samples: list[Sample], split: str) -> int:
    """A model's figures on labelled samples."""
    from msapipe.cli._exit import OK
    from msapipe.train.evaluate import score_samples

    scores = score_samples(network, samples, card.scale)
    if asked.as_json:
        about = {"model": asked.model, "data": asked.data.name, "split": split, "clips": len(samples)}
        print(json.dumps({**about, **scores}))
    else:
        _show({"clips": len(samples), **scores})
    return OK


def _texts(asked: _Asked, card: Card, recipe: Recipe, how: Options) -> int:
    """Texts of label.csv through the recipe's stages of words and text, and through the model."""
    from rich.progress import track

    from msapipe.cli._exit import OK
    from msapipe.pipeline.card import model_folder
    from msapipe.pipeline.device import resolve_device
    from msapipe.pipeline.network import load_network
    from msapipe.train.transcripts import TextStages, read_texts, score_texts

    rows, notes = read_texts(asked.data, card.scale)
    rows, split = _choose(rows, asked)
    network = load_network(model_folder(asked.model, _beside(recipe)), card, asked.model)
    stages = TextStages(recipe, resolve_device(how.device), how.offline)
    console, made = asked.console, stages.samples(rows, asked.data)
    samples = list(track(made, "texts", len(rows), console=console, transient=True, disable=not console.is_terminal))
    found = score_texts(network, card, samples, asked.model)
    _tell((*notes, *found.notes), console)
    figures = {**found.scores, "mae_rescaled": found.mae_rescaled}
    figures |= {"in_interval": found.in_interval, "interval_width": found.interval_width}
    head = {"model": asked.model, "recipe": recipe.name, "data": str(asked.data)}
    if asked.as_json:
        print(json.dumps({**head, "split": split, "clips": len(rows), **figures}))
    else:
        _show({"split": split, "clips": len(rows), **figures})
    return OK


def _folder(asked: _Asked, recipe: Recipe, cache: str, how: Options, jobs: int) -> int:
    """Photographs or sounds through the recipe's stages of that modality, and how often the head is right."""
    from msapipe.cli import _batch as batch
    from msapipe.cli import _exit
    from msapipe.pipeline.device import resolve_device
    from msapipe.train.heads import figures, modality_of, only, read_emotions

    table = asked.labels or asked.data / "labels.csv"
    files, split = _choose(read_emotions(table, asked.data), asked)
    modality = modality_of(files)
    if how.device not in ("auto", "cpu"):
        resolve_device(how.device)
    tally = batch.Tally()
    found = figures(_readings(files, only(recipe, modality), modality, cache, how, jobs, tally, asked.console))
    failed = tally.status["error"]
    _tell(_notes(found, modality), asked.console)
    head = {"model": asked.model, "recipe": recipe.name, "data": str(asked.data), "modality": modality}
    if asked.as_json:
        print(json.dumps({**head, "split": split, "failed": failed, **found}))
    else:
        _show_head({"split": split, "failed": failed, **found})
    return _exit.of_counts(tally.good, failed)


def _readings(
    files: Sequence[LabelledFile],
    recipe: Recipe,
    modality: str,
    cache: str,
    how: Options,
    jobs: int,
    tally: Tally,
    console: Console,
) -> list[Reading]:
    """What the head says of each file, in order."""
    from msapipe.cache import open_store
    from msapipe.cli import _batch as batch
    from msapipe.engines.local import run_clips
    from msapipe.pipeline.device import resolve_device
    from msapipe.pipeline.run import Runner
    from msapipe.train.heads import reading
    from msapipe.train.photographs import Photographs
    from msapipe.types import Clip

    emotion = {item.name: item.emotion for item in files}
    emotions = set(emotion.values())
    found: dict[str, Reading] = {}
    photographs: Photographs | None = None
    outcomes = run_clips([Clip(item.name, item.path) for item in files], recipe, cache, how, jobs)
    with Runner(recipe, open_store(cache), how) as runner, contextlib.closing(outcomes):
        for outcome in batch.with_progress(outcomes, len(files), tally, console):
            name = outcome.clip.id
            if outcome.status != "error" and not outcome.features:  # a worker's outcome: they lie in the cache
                outcome = runner.run(outcome.clip)
            features, why = outcome.features.get(modality), ""
            if features is None or not features.valid.any():
                why = _why(outcome, modality)
                if outcome.status != "error" and modality == "vision" and Photographs.suit(recipe):
                    photographs = photographs or Photographs(recipe, resolve_device(how.device), how.offline)
                    features = photographs.features(outcome.clip.path)
            found[name] = reading(emotion[name], features, emotions, why)
    if photographs is not None:
        photographs.close()
    return [found[item.name] for item in files]


def _why(outcome: Outcome, modality: str) -> str:
    """Why there is nothing of a modality, in the words of the clip's notes; what failed has its own message."""
    said = f"{modality} is missing: "
    reasons = [note.removeprefix(said) for note in outcome.notes if note.startswith(said)]
    return reasons[0] if reasons else "failed"


def _recipe(model: str, named: str | None, allow_mismatch: bool) -> tuple[Card, Recipe]:
    """The model's card, and the recipe that was named, or that the model was trained on."""
    from msapipe.pipeline.card import check_features, model_folder, read_card
    from msapipe.pipeline.model_recipe import choose_recipe

    recipe = choose_recipe(named, model)
    card = read_card(model_folder(model, _beside(recipe)))
    if not allow_mismatch:
        check_features(card, recipe, model)
    return card, recipe


def _beside(recipe: Recipe) -> Path | None:
    return recipe.source.parent if recipe.source else None


class _Splittable(Protocol):
    @property
    def split(self) -> str | None: ...


_Row = TypeVar("_Row", bound=_Splittable)
_Any = TypeVar("_Any")


def _choose(rows: list[_Row], asked: _Asked) -> tuple[list[_Row], str]:
    """The rows that are asked for and the name of their split: test, or all when no row is of test."""
    from msapipe.errors import RecipeError

    there = sorted({row.split for row in rows if row.split is not None})
    split = asked.split or ("test" if "test" in there else "all")
    chosen = [row for row in rows if split in ("all", row.split)]
    if not chosen:
        raise RecipeError(f"--split {split}: {asked.data} has no such rows; expected {', '.join([*there, 'all'])}")
    if asked.split is None and split == "all" and "train" in there:
        _tell(["no row is of test, all are measured, also those of train; choose others with --split"], asked.console)
    return _some(chosen, asked.limit), split


def _some(rows: list[_Any], limit: int | None) -> list[_Any]:
    """At most ``limit`` rows, evenly apart: tables are often sorted by what is to be told apart."""
    if limit is None or limit >= len(rows):
        return rows
    return [rows[number * len(rows) // limit] for number in range(limit)]


def _notes(found: Mapping[str, Any], modality: str) -> list[str]:
    """What the figures of a head leave out, and what they count as wrong."""
    notes = []
    why = ", ".join(f"{count}: {reason}" for reason, count in found["reasons"].items())
    if found["unseen"]:
        what = "heard" if modality == "audio" else "seen"
        notes.append(f"{found['unseen']} files in which nothing was {what} ({why}); they count as wrong, not in 'seen'")
    if found["assumed"]:
        notes.append(f"{found['assumed']} pictures were taken for a face as a whole ({why}); they are not in 'seen'")
    if found["unknown"]:
        lost = ", ".join(f"{emotion} ({count})" for emotion, count in found["unknown"].items())
        notes.append(f"no column bears the name of {lost}; left out of the recalls")
    return notes


def _tell(notes: Iterable[str], console: Console) -> None:
    from msapipe.cli._batch import escape

    for note in notes:
        console.print(f"note: {escape(note)}", soft_wrap=True)


def _show(values: Mapping[str, Any]) -> None:
    """Figures as a Markdown table."""
    rows = [{"metric": name, "value": _shown(value)} for name, value in values.items()]
    print(training.markdown(rows))


def _show_head(found: Mapping[str, Any]) -> None:
    """A head's recalls and figures as Markdown tables."""
    rows = [
        {"emotion": name, "files": part["files"], "recall": _shown(part["recall"]), "seen": _shown(part["recall_seen"])}
        for name, part in found["classes"].items()
    ]
    print(training.markdown(rows))
    values = {name: found[name] for name in ("split", "files", "failed", "unseen", "assumed")}
    macros = {f"macro recall of {len(rows)}": found}
    if fewer := found.get("without_doubtful"):
        macros[f"macro recall of {', '.join(fewer['emotions'])}"] = fewer
    for name, part in macros.items():
        values |= {name: part["macro_recall"], f"{name}, seen": part["macro_recall_seen"]}
    for dimension in ("valence", "arousal"):
        if dimension in found:
            name = f"balanced accuracy of the sign of {dimension}"
            values |= {name: found[dimension], f"{name}, seen": found[f"{dimension}_seen"]}
    print()
    _show(values)


def _shown(value: Any) -> str:
    return training.shown(value) if value is None or isinstance(value, float) else str(value)
