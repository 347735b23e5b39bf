"""Shared by train, evaluate and compare: options, their data (a file, or a folder of clips), progress, and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli._streams import tell_errors, tell_notes

if TYPE_CHECKING:
    from rich.console import Console

    from msapipe.fusion._base import FusionModel
    from msapipe.pipeline.card import Card
    from msapipe.pipeline.run import Options
    from msapipe.pipeline.spec import PipelineSpec
    from msapipe.train.data import DataSet
    from msapipe.train.loop import Line
    from msapipe.train.study import Study, Trained
    from msapipe.types import Sample

Features = Annotated[
    Path,
    typer.Argument(
        help="Features: what `msapipe extract -o` wrote, or a .pkl of MMSA. Or, with --pipeline, a folder of clips.",
        show_default=False,
    ),
]
Pipeline = Annotated[
    str | None,
    typer.Option("--pipeline", "-p", help="Of a folder of clips: the pipeline; what is not in the cache is extracted."),
]
Labels = Annotated[Path | None, typer.Option(help="label.csv (default: the file's own, or label.csv beside it).")]
Scale = Annotated[str | None, typer.Option(help="Lowest and highest label, LOW,HIGH (default: -1,1 or -3,3).")]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A parameter of the model or a setting of its training, key=value; repeatable. epochs is of the longest "
        "phase and lr of the fastest group of a phase, the others keep their share; of one alone: "
        "phase.NAME.epochs=, group.NAME.lr=.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Settings of the model's source for a corpus: mosi, mosei, sims or sims_v2 (msapipe list fusion)."
    ),
]
Seeds = Annotated[str, typer.Option(help="Seeds, separated by commas.")]
Modalities = Annotated[str, typer.Option(help="text,audio,vision or some of them (default: all that are there).")]


def open_data(
    features: Path,
    labels: Path | None,
    scale: str | None,
    console: Console,
    pipeline: str | None = None,
    dataset: str = "",
    device: str = "auto",
) -> DataSet:
    """The data set that the options name; left-out items are reported."""
    from msapipe.errors import ConfigError
    from msapipe.formats import is_known
    from msapipe.pipeline.run import Options
    from msapipe.pipeline.spec import load_spec
    from msapipe.train.data import data_of_clips, load_data

    if pipeline is not None:
        spec = load_spec(pipeline)
        samples = extracted(features, dataset, spec, options.cache_folder(None), Options(device), console)
        data = data_of_clips(features, samples, spec, labels, _scale(scale))
    elif dataset:
        raise ConfigError(f"--dataset {dataset}: is about a folder of clips; say also the pipeline: --pipeline")
    elif features.is_dir() and not is_known(features):
        raise ConfigError(f"{features}: a folder without features; if it holds clips, say the pipeline: --pipeline")
    else:
        data = load_data(features, labels, _scale(scale))
    tell_notes(data.notes, console)
    return data


def extracted(
    root: Path, dataset: str, spec: PipelineSpec, cache: str, how: Options, console: Console, jobs: int = 0
) -> list[Sample]:
    """Features and labels of all clips below a folder; a clip that fails is reported and left out.

    Raises ConfigError when it is no folder, MsapipeError when no clip is left.
    """
    from msapipe.cache import open_store
    from msapipe.cli import _batch as batch
    from msapipe.engines.local import run_clips
    from msapipe.errors import ConfigError, MsapipeError
    from msapipe.pipeline.run import Runner
    from msapipe.pipeline.samples import samples_of

    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise ConfigError(f"{root}: found {found}, expected a folder of clips (--pipeline is for those)")
    tally = batch.Tally()
    examples = {example.clip.id: example for example in batch.sort_out([str(root)], tally, None, dataset)}
    tell_errors(tally.errors, console)
    good: set[str] = set()
    with Runner(spec, open_store(cache), how) as runner:
        outcomes = run_clips(runner, [example.clip for example in examples.values()], jobs, brief=True)
        with closing(outcomes):
            for outcome in batch.with_progress(outcomes, len(examples), tally, console):
                if outcome.status != "error":
                    good.add(outcome.clip.id)
        if not good:
            raise MsapipeError(f"{root}: no clip in it could be used; type: msapipe data inspect {root}")
        return list(samples_of((each for name, each in examples.items() if name in good), runner))


def open_study(
    data: DataSet,
    model: str,
    assignments: list[str] | None,
    modalities: str,
    folder: Path,
    preset: str | None = None,
) -> Study:
    """A model with its parameters on a data set; assignments override the preset's."""
    from msapipe.fusion import fusion_models
    from msapipe.train.params import assign, of_preset
    from msapipe.train.study import Study

    cls = fusion_models().get(model)
    first = of_preset(cls, model, preset) if preset else []
    params, settings = assign(cls, [*first, *(assignments or ())])
    return Study(data, model, params, settings, folder, _names(modalities))


def open_model(model: str, data: DataSet, allow_mismatch: bool) -> tuple[Card, FusionModel]:
    """A model folder's card and network; raises if it was trained on other features than the data's."""
    from msapipe.pipeline.card import check_made_by, model_folder, read_card
    from msapipe.pipeline.network import load_network

    folder = model_folder(model)
    card = read_card(folder)
    if not allow_mismatch:
        check_made_by(card, data.made_by, model, data.name)
    return card, load_network(folder, card, model)


def choose_split(data: DataSet, split: str) -> list[Sample]:
    """The clips of train, valid, test or all."""
    from msapipe.errors import ConfigError

    samples = list(data.samples) if split == "all" else data.split(split)
    if not samples:
        raise ConfigError(f"--split {split}: {data.name} has no such clips; expected train, valid, test or all")
    return samples


def shown(value: float | None) -> str:
    """A number for people."""
    return "not defined" if value is None else f"{value:.4f}"


def run_seeds(
    study: Study, seeds: str, device: str, precision: str, console: Console, tensorboard: Path | None = None
) -> list[Trained]:
    """Train once per seed, with one line per epoch, and curves below ``tensorboard``."""
    from msapipe.pipeline.device import resolve_device
    from msapipe.train.study import make_fabric

    fabric = make_fabric(resolve_device(device), precision)
    tell_notes(study.notes(), console)
    runs = []
    for seed in seed_list(seeds):
        with _progress(console, f"{study.model}, seed {seed}") as show, _curves(tensorboard, seed) as draw:
            runs.append(study.run(seed, fabric, _both(show, draw)))
    return runs


def show_scores(runs: Sequence[Trained], console: Console, split: str = "test") -> None:
    """Print mean and standard deviation of every metric over the seeds; no deviation for a single seed."""
    from rich.table import Table

    from msapipe.train.metrics import mean_and_deviation

    split = split if split in runs[0].scores else "valid"
    several = len(runs) > 1
    table = Table(title=f"{split}, {len(runs)} seed{'s' if several else ''}", box=None, title_justify="left")
    for name in ("metric", "mean", "deviation") if several else ("metric", "value"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for name, value in mean_and_deviation([run.scores[split] for run in runs]).items():
        figures = ("not defined", "") if value is None else (f"{value[0]:.4f}", f"{value[1]:.4f}")
        table.add_row(name, *figures[: 2 if several else 1])
    console.print(table)


@contextmanager
def _progress(console: Console, title: str) -> Iterator[Callable[[Line], None]]:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title)

        def tell(line: Line) -> None:
            error = line.get("valid_mae", line["valid_loss"])
            bar.update(task, description=f"{title}: {line['phase']} {line['epoch']}, valid error {error:.4f}")

        yield tell


@contextmanager
def _curves(folder: Path | None, seed: int) -> Iterator[Callable[[Line], None]]:
    """Metrics of every epoch for TensorBoard, one folder per seed."""
    from msapipe.errors import MissingLibrary

    if folder is None:
        yield lambda line: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingLibrary('--tensorboard needs a package; type: uv pip install "msapipe[tensorboard]"') from error
    with SummaryWriter(str(folder / str(seed))) as writer:

        def draw(line: Line) -> None:
            for name, value in line.items():
                if isinstance(value, float):
                    writer.add_scalar(f"{line['phase']}/{name}", value, int(line["epoch"]))

        yield draw


def _both(one: Callable[[Line], None], other: Callable[[Line], None]) -> Callable[[Line], None]:
    def tell(line: Line) -> None:
        one(line)
        other(line)

    return tell


def markdown(rows: Iterable[Mapping[str, object]]) -> str:
    """Rows as a Markdown table; columns are the keys of the first."""
    rows = list(rows)
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row.get(name, "")) for name in columns) + " |" for row in rows]
    return "\n".join(lines)


def _scale(text: str | None) -> tuple[float, float] | None:
    from msapipe.errors import ConfigError

    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--scale {text}: expected LOW,HIGH, as in -3,3") from error
    if not low < high:
        raise ConfigError(f"--scale {text}: the lowest label must be below the highest")
    return low, high


def seed_list(text: str) -> list[int]:
    """Seeds from text, each once."""
    from msapipe.errors import ConfigError

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdigit() for part in parts):
        raise ConfigError(f"--seeds {text}: expected whole numbers separated by commas, as in 1111,1112,1113")
    return list(dict.fromkeys(int(part) for part in parts))


def _names(text: str) -> list[str]:
    from msapipe.errors import ConfigError
    from msapipe.stages import MODALITIES

    names = [part.strip() for part in text.split(",") if part.strip()]
    odd = [name for name in names if name not in MODALITIES]
    if odd:
        raise ConfigError(f"--modalities {text}: no modality is called {odd[0]!r}; expected {', '.join(MODALITIES)}")
    return names
