"""msapipe data: the content and problems of a data set, and a table to start a new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli import _streams
from msapipe.cli._streams import escape, tell_errors, tell_notes

if TYPE_CHECKING:
    from rich.console import Console

    from msapipe.datasets import DatasetReader, Example
    from msapipe.report.dataset import DataSetNumbers
    from msapipe.report.probing import Probed

app = typer.Typer(help="Look at a data set, or begin one: inspect, new.", no_args_is_help=True, rich_markup_mode=None)

Root = Annotated[Path, typer.Argument(help="The data set's folder.", show_default=False)]

# The terminal shows only the first ones; --json and --html have all.
_SHOWN = 20
_BAR = 40


@app.command()
def inspect(
    root: Root,
    dataset: options.DataSet = "",
    html: Annotated[Path | None, typer.Option(help="Write it all as a page to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    quiet: options.Quiet = False,
) -> int:
    """Count clips, durations, labels, splits and languages, and list unusable files and lines.

    Every file is opened, none is decoded. Exit code 3 when some clips or lines are unusable, 1 when all are.
    """
    from dataclasses import asdict

    from msapipe.cli import _exit
    from msapipe.datasets import Example, reader_of
    from msapipe.report.dataset import count
    from msapipe.report.dataset_page import write
    from msapipe.report.html import check_page

    _check_folder(root)
    if html is not None:
        check_page(html)
    console = options.console(quiet)
    reader = reader_of(root, dataset)
    examples, refused = [], []
    for item in reader.read():
        if isinstance(item, Example):
            examples.append(item)
        else:
            refused.append(item)
    name = type(reader).__module__.rpartition(".")[2]
    probed = _probed(examples, console)
    numbers = count(str(root), name, reader.language, probed, refused, _left_out(reader, examples), reader.notes)
    if html is not None:
        write(html, numbers)
        console.print(f"wrote {html}", markup=False)
    if as_json:
        print(json.dumps({**asdict(numbers), "causes": dict(numbers.causes)}))
    else:
        _show(numbers)
    return _exit.of_counts(numbers.clips - numbers.unreadable, len(numbers.problems) or not numbers.clips)


def _check_folder(root: Path) -> None:
    from msapipe.errors import ConfigError

    if not root.is_dir():
        raise ConfigError(f"{root}: found {'a file' if root.exists() else 'nothing'}, expected a data set's folder")


def _probed(examples: list[Example], console: Console) -> list[Probed]:
    from rich.progress import track

    from msapipe.report.probing import probe_clips

    quiet = not console.is_terminal
    found = probe_clips(examples)
    return list(track(found, "looking into files", len(examples), console=console, disable=quiet, transient=True))


def _left_out(reader: DatasetReader, examples: list[Example]) -> list[str]:
    """Media files below the root that are not clips of the data set."""
    from msapipe.datasets import READERS, Example

    used = {example.clip.path.resolve() for example in examples}
    every = READERS.get("folder")(reader.root).read()
    return [item.clip.id for item in every if isinstance(item, Example) and item.clip.path.resolve() not in used]


def _show(numbers: DataSetNumbers) -> None:
    """Print the numbers as tables."""
    from rich.table import Table

    from msapipe.report.dataset_page import caption, facts, splits, warnings

    out = _streams.console()
    out.print(f"[bold]{escape(numbers.root)}[/bold]", soft_wrap=True)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in facts(numbers):
        table.add_row(*map(escape, row))
    out.print(table)
    table = Table("split", "clips", "videos", "duration", box=None, padding=(0, 2, 0, 0))
    for part in splits(numbers):
        table.add_row(*part)
    out.print(table)
    for letter, labels in numbers.labels.items():
        out.print(caption(letter, labels))
        most = max(labels.histogram.values())
        for name, count in labels.histogram.items():
            out.print(f"  {name:>6}  {'█' * round(_BAR * count / most)} {count}")
    for warning in warnings(numbers)[:_SHOWN]:
        out.print(f"[yellow]warning[/yellow] {escape(warning)}", soft_wrap=True)
    _show_problems(numbers, out)


def _show_problems(numbers: DataSetNumbers, out: Console) -> None:
    tell_errors((f"{problem.name}: {problem.reason}" for problem in numbers.problems[:_SHOWN]), out)
    if len(numbers.problems) > _SHOWN:
        out.print(f"and {len(numbers.problems) - _SHOWN} more (--json and --html name all); by cause:")
        for cause, count in numbers.causes:
            out.print(escape(f"  {count} x {cause}"), soft_wrap=True)


@app.command()
def new(
    root: Root,
    split: Annotated[
        bool, typer.Option("--split", help="Fill the column mode: whole videos to train, valid and test.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed makes another split.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Write label.csv even where there is one, or its like.")
    ] = False,
    quiet: options.Quiet = False,
) -> int:
    """Write ROOT/label.csv with one line per media file; people fill in the labels.

    Words in a file beside a clip go to the column text, unless they have times.
    Exit code 3 when a table cannot hold the names of some files.
    """
    from msapipe.cli import _exit
    from msapipe.train.skeleton import begin_table

    _check_folder(root)
    console = options.console(quiet)
    begun = begin_table(root, seed if split else None, force)
    tell_errors(begun.problems, console)
    tell_notes(begun.notes, console)
    console.print(f"wrote {begun.clips} clips of {begun.videos} videos to {root / 'label.csv'}", markup=False)
    return _exit.of_counts(begun.clips, len(begun.problems))
