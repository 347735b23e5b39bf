"""msapipe compare: fusion models and their variants on the same features, with the same seeds."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli import _streams
from msapipe.cli import _training as training
from msapipe.cli._streams import escape
from msapipe.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from msapipe.train.comparison import Comparison
    from msapipe.train.data import DataSet
    from msapipe.train.study import Study, Trained
    from msapipe.train.variants import Ablation, Variant


def compare(
    features: training.Features,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            "-m",
            help="Names or variants, separated by commas: agfn,agfn:fusion=ieg,smp:modalities=text+audio.",
            show_default=False,
        ),
    ] = None,
    ablation: Annotated[
        str | None, typer.Option(help="Rows of a paper's table: a name (msapipe list ablations) or a .yaml file.")
    ] = None,
    preset: training.Preset = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the tables and of what came of each seed.")
    ] = Path("comparison"),
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
    published_where: Annotated[str, typer.Option(help="Which of them, as in paper=000,table=2,dataset=CMU-MOSI.")] = "",
    markdown: Annotated[Path | None, typer.Option(help="Write the table here too, as Markdown.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Write the table here, for LaTeX (booktabs).")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table here too, as CSV, a number a cell.")] = None,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep the trained models below --output.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the tables of another comparison in --output.")
    ] = False,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> int:
    """Train each model once per seed, and print means, deviations, sizes, times and a paired test."""
    console = options.console(quiet)
    command = shlex.join(["msapipe", *sys.argv[1:]])
    files = {".md": [markdown], ".tex": [latex], ".csv": [csv]}
    _check_places(output, command, overwrite, [path for paths in files.values() for path in paths if path])
    asked, variants = _variants(models, ablation, preset, assignments)
    printed = _published(published, published_where, asked, variants)
    data = training.open_data(features, labels, scale, console, pipeline, dataset, device)
    how = _How(output / "runs", modalities, seeds, device, keep_models, folds, console)
    found = _measured(data, variants, how, printed, command)
    files[".md"].append(output / "comparison.md")
    files[".csv"].append(output / "comparison.csv")
    _write(found, files, console)
    _show(found)
    return 0


@dataclass(frozen=True)
class _How:
    """Training options of all variants."""

    folder: Path
    modalities: str
    seeds: str
    device: str
    keep_models: bool
    folds: int | None
    console: Console


def _variants(
    models: list[str] | None, ablation: str | None, preset: str | None, assignments: list[str] | None
) -> tuple[Ablation | None, list[Variant]]:
    """The rows with all their assignments. The command line overrides the file, which overrides the preset."""
    from dataclasses import replace

    from msapipe.train.comparison import distinct
    from msapipe.train.variants import load_ablation, parse_variants

    if (models is None) == (ablation is None):
        raise ConfigError("name models (--models tfn,lmf) or the rows of a table (--ablation agfn_table3), one of them")
    common = tuple(assignments or ())
    asked = load_ablation(ablation) if ablation else None
    rows = asked.variants if asked else parse_variants(models or ())
    list(distinct([row.label for row in rows]))
    corpus = preset or (asked.preset if asked else None)
    found = []
    for row in rows:
        own = (*row.assignments, *common) if asked else (*common, *row.assignments)
        found.append(replace(row, assignments=own, preset=row.preset or corpus))
    return asked, found


def _measured(
    data: DataSet, variants: list[Variant], how: _How, printed: Mapping[str, Mapping[str, str]], command: str
) -> Comparison:
    """Train all variants and compare their results."""
    from msapipe.train.comparison import compare_runs, cross_validation, joined

    parts = cross_validation(data, how.folds) if how.folds else [data]
    _check_all(parts[0], variants, how)
    runs: dict[str, list[Trained]] = {}
    for variant in variants:
        of_parts = [_trained(part, variant, how) for part in parts]
        folded = how.folds is not None
        runs[variant.label] = (
            [joined(data, list(seed)) for seed in zip(*of_parts, strict=True)] if folded else of_parts[0]
        )
    return compare_runs(data, runs, printed, parts, command)


def _check_all(data: DataSet, variants: list[Variant], how: _How) -> None:
    """Refuse variants that cannot be built or trained before hours are spent on earlier ones."""
    from dataclasses import replace

    from rich.console import Console

    silent = replace(how, console=Console(quiet=True))
    for variant in variants:
        try:
            _study(data, variant, silent).build(0)
        except ConfigError as error:
            raise ConfigError(f"{variant.label}: {error}; nothing was trained") from error


def _trained(data: DataSet, variant: Variant, how: _How) -> list[Trained]:
    """One variant, trained once per seed; its models are deleted unless they are to be kept."""
    from msapipe.train.comparison import drop_models, forget_without_models

    study = _study(data, variant, how)
    if how.keep_models:
        forget_without_models(study, training.seed_list(how.seeds))
    runs = training.run_seeds(study, how.seeds, how.device, "32-true", how.console)
    if not how.keep_models:
        drop_models(runs)
    return runs


def _study(whole: DataSet, variant: Variant, how: _How) -> Study:
    from msapipe.errors import UnknownName
    from msapipe.fusion import fusion_models
    from msapipe.train.channels import only_channels

    data, modalities = only_channels(whole, variant.channels), ",".join(variant.modalities) or how.modalities
    assignments = list(variant.assignments)
    try:
        return training.open_study(data, variant.model, assignments, modalities, how.folder, variant.preset)
    except UnknownName as error:
        if variant.preset is None or variant.preset in fusion_models().get(variant.model).presets:
            raise
        how.console.print(f"note: {escape(str(error))}; it has its defaults", soft_wrap=True)
        return training.open_study(data, variant.model, assignments, modalities, how.folder)


def _published(
    path: Path | None, where: str, ablation: Ablation | None, variants: list[Variant]
) -> dict[str, dict[str, str]]:
    """Published figures of each row."""
    from msapipe.train.published import read_published

    if path is None:
        if where:
            raise ConfigError("--published-where needs --published, the file that it chooses from")
        return {}
    chosen = dict(ablation.published) if ablation else {}
    for part in filter(None, where.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"--published-where {part}: expected column=value")
        chosen[key.strip()] = value.strip()
    names = {variant.label: variant.published or variant.model for variant in variants}
    return read_published(path, names, chosen)


def _check_places(output: Path, command: str, overwrite: bool, files: list[Path]) -> None:
    """Refuse, before any training, to replace the tables of another comparison, or to write to an invalid path."""
    there = output / "comparison.md"
    if there.is_file() and not overwrite and f"Command: {command}\n" not in there.read_text(encoding="utf-8"):
        raise ConfigError(
            f"{there}: holds another comparison; name another folder with -o, or replace its tables with --overwrite"
        )
    for path in files:
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"{path}: there is no folder {path.parent}; make it first")


def _write(found: Comparison, files: Mapping[str, list[Path | None]], console: Console) -> None:
    from msapipe.report.comparison import WRITERS

    for kind, paths in files.items():
        for path in filter(None, paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(WRITERS[kind](found), encoding="utf-8")
            console.print(f"wrote {path}", soft_wrap=True)


def _show(found: Comparison) -> None:
    """Print the table: drawn on a terminal, else as Markdown."""
    from rich.table import Table

    from msapipe.report.comparison import about, cells, markdown

    out = _streams.console()
    if not out.is_terminal:
        print(markdown(found))
        return
    rows = cells(found)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "model" else "right", no_wrap=name != "model")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row.values()))
    out.print(table)
    for line in about(found):
        out.print(escape(line), soft_wrap=True)
