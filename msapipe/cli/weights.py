"""msapipe weights: the pretrained weights, their licences, and how to get them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli._streams import escape
from msapipe.documents import read_json

if TYPE_CHECKING:
    from rich.console import Console

    from msapipe.pipeline.spec import PipelineSpec
    from msapipe.stages.known_weights import Readers
    from msapipe.weights import Checkpoint, Download, Weights
    from msapipe.weights.fetch import Progress

log = logging.getLogger("msapipe")

app = typer.Typer(help="Pretrained weights: list, fetch, verify, path.", no_args_is_help=True, rich_markup_mode=None)

_Pipeline = Annotated[
    str | None, typer.Option("--pipeline", "-p", help="The weights of this pipeline: a name or a .yaml file.")
]
_NAMES = "Names, or the beginning of one (msapipe weights list); ORG/NAME@COMMIT for others of the hub."


@app.command("list")
def listing(
    pipeline: _Pipeline = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line and weights.")] = False,
) -> int:
    """List weights: name, size, licence; which stages read them; where they are, or what to type."""
    from msapipe.pipeline.spec import load_spec
    from msapipe.stages.known_weights import every_weights
    from msapipe.weights import accepted

    spec = load_spec(pipeline) if pipeline else None
    accepts = {*accepted(), *(spec.accept_licences if spec else ())}
    for weights, stages in (_of_pipeline(spec) if spec else every_weights()).items():
        may = weights.commercial or weights.name in accepts
        if as_json:
            print(json.dumps(_as_object(weights, stages, may)))
        else:
            print("\n".join(_as_lines(weights, stages, may)))
    return 0


def _as_lines(weights: Weights, stages: list[str], may: bool) -> Iterator[str]:
    """A few lines of at most 80 columns, if the names allow it."""
    import textwrap

    from msapipe.weights.kinds import get_commands, place_of, size_in_words

    def labelled(label: str, text: str) -> list[str]:
        return textwrap.wrap(text, 79, initial_indent=f"  {label:6}", subsequent_indent=" " * 8, break_on_hyphens=False)

    yield weights.name
    licence = weights.licence if weights.commercial else f"{weights.licence}, not for every use"
    yield from labelled("is", f"{size_in_words(weights.size)}, {licence}{'' if may else ' (not accepted)'}")
    yield from labelled("for", ", ".join(stages))
    place = place_of(weights)
    yield from labelled("here" if place else "no", place or "not on this machine")
    if place is None or not may:
        for command in get_commands(weights):
            lines = textwrap.wrap(command, 66, break_on_hyphens=False, break_long_words=False)
            yield "  type  " + " \\\n          ".join(lines)


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help=_NAMES, show_default=False)] = None,
    pipeline: _Pipeline = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that msapipe knows of.")] = False,
    accept_licence: options.AcceptLicence = None,
    force: Annotated[bool, typer.Option("--force", help="Download also what is here.")] = False,
    quiet: options.Quiet = False,
) -> int:
    """Download weights; a killed download resumes."""
    from msapipe.cli import _exit
    from msapipe.errors import ConfigError, WeightsError
    from msapipe.pipeline.spec import load_spec
    from msapipe.stages.known_weights import every_weights

    console = options.console(quiet)
    spec = load_spec(pipeline) if pipeline else None
    asked: Readers = {**(_of_pipeline(spec) if spec else {}), **(every_weights() if every else {})}
    asked |= {weights: [] for weights in _named(names or [])}
    if not (names or spec or every or accept_licence):
        raise ConfigError("fetch what? type a NAME (msapipe weights list), --pipeline PIPELINE or --all")
    options.accept_licences(accept_licence, spec)
    failed = 0
    for weights in asked:
        try:
            _fetch_one(weights, spec.accept_licences if spec else (), force, console)
        except WeightsError as error:
            failed += 1
            print(f"msapipe: {error}", file=sys.stderr)
    return _exit.of_counts(len(asked) - failed, failed)


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help=_NAMES, show_default=False)] = None,
) -> int:
    """Check the hashes of all downloaded weights, or of NAMEs. Exit code 1 when one differs or a NAME is missing."""
    from msapipe.errors import WeightsError
    from msapipe.stages.known_weights import every_weights
    from msapipe.weights.kinds import check_anew

    check_anew()
    asked = _named(names) if names else [weights for weights in every_weights() if weights.here()]
    good, wrong = [], []
    for weights in asked:
        try:
            good.append(f"{weights.name}: {weights.path()}")
        except WeightsError as error:
            wrong.append(str(error))
    if not names:
        _verify_others(asked, good, wrong)
    for line in good:
        print(f"good  {line}")
    for line in wrong:
        print(f"bad   {line}")
    print(f"{len(good) + len(wrong)} here, {len(wrong)} bad")
    return 1 if wrong else 0


@app.command()
def path(
    name: Annotated[str | None, typer.Argument(help=_NAMES, show_default=False)] = None,
) -> int:
    """Print the folder of downloaded weights, or the paths of NAME after checking its hash; for scripts."""
    from msapipe.weights import weights_folder

    if name is None:
        print(weights_folder())
        return 0
    for weights in _named([name]):
        print(weights.path())
    return 0


def _of_pipeline(spec: PipelineSpec) -> Readers:
    found: Readers = {}
    for use in spec.uses():
        for weights in use.stage.own_weights():
            stages = found.setdefault(weights, [])
            if (stage := f"{use.slot}/{use.name}") not in stages:
                stages.append(stage)
    return found


def _named(names: Iterable[str]) -> list[Weights]:
    """The weights of these names: the full name, its beginning, its beginning after the owner, or id@commit."""
    from msapipe.errors import UnknownName
    from msapipe.registry import did_you_mean
    from msapipe.stages.known_weights import every_weights
    from msapipe.weights import choose

    known = list(every_weights())
    found: dict[Weights, None] = {}
    for name in names:
        same = [weights for weights in known if weights.name == name]
        if not same and "@" in name:
            same = [choose(known, name, "weights")]
        if not same and name:
            same = [
                item for item in known if item.name.startswith(name) or item.name.rpartition("/")[2].startswith(name)
            ]
        called = {weights.name for weights in same}
        if len(called) > 1:
            raise UnknownName(f"several weights begin with {name!r}: {', '.join(sorted(called))}; type more of it")
        if not called:
            raise UnknownName(f"no weights are called {name!r}{did_you_mean(name, [item.name for item in known])}")
        found |= dict.fromkeys(same)
    return list(found)


def _as_object(weights: Weights, stages: list[str], may: bool) -> dict[str, object]:
    """The object of ``--json``; its field names are stable across versions."""
    from msapipe.weights.kinds import Checkpoint, Download, get_commands, place_of

    here = weights.here()
    return {
        "name": weights.name,
        "stages": stages,
        "bytes": weights.size,
        "licence": weights.licence,
        "source": weights.source,
        "commercial": weights.commercial,
        "accepted": may,
        "here": here,
        "place": place_of(weights),
        "type": [] if here and may else get_commands(weights),
        "folder": str(weights.folder) if here and isinstance(weights, Download | Checkpoint) else None,
    }


def _fetch_one(weights: Weights, accepts: Iterable[str], force: bool, console: Console) -> None:
    from msapipe.weights import Checkpoint, Download
    from msapipe.weights.fetch import fetch
    from msapipe.weights.kinds import size_in_words
    from msapipe.weights.ready import check_licence

    about = f"{weights.name}: {size_in_words(weights.size)}, licence {weights.licence}, from {weights.source}"
    console.print(escape(about), soft_wrap=True)
    check_licence(weights, accepts)
    if isinstance(weights, Download | Checkpoint) and (force or not weights.here()):
        with _bar(weights, console) as progress:
            fetch(weights, force, progress)
    print(f"{weights.name}: {weights.path()}", flush=True)


@contextmanager
def _bar(weights: Download | Checkpoint, console: Console) -> Iterator[Progress | None]:
    """A progress bar on a terminal; elsewhere ``fetch`` logs lines instead."""
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    if not console.is_terminal or console.quiet:
        yield None
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bars:
        task = bars.add_task(weights.name, total=weights.size)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _verify_others(known: Iterable[Weights], good: list[str], wrong: list[str]) -> None:
    """Check files in the folder that no stage knows: checkpoints that a pipeline named by their commit."""
    from msapipe.errors import WeightsError
    from msapipe.weights import Checkpoint, Download, weights_folder
    from msapipe.weights.folder import MANIFEST, check, read_manifest

    root = weights_folder()
    folders = {weights.folder for weights in known if isinstance(weights, Download | Checkpoint)}
    for manifest in sorted(root.rglob(MANIFEST)):
        folder = manifest.parent
        if folder in folders or folder.suffix == ".part":
            continue
        try:
            name = str(read_json(manifest.read_text(encoding="utf-8"))["name"])
            check(folder, read_manifest(folder, name) or (), name)
            good.append(f"{name}: {folder}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            wrong.append(f"{manifest} cannot be read ({error}); delete {folder} and fetch the weights again")
        except WeightsError as error:
            wrong.append(str(error))
