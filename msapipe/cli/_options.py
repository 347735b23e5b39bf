"""Options that several commands share, and logging to the terminal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from msapipe.cli import _streams
from msapipe.report.marks import marked

if TYPE_CHECKING:
    from rich.console import Console

    from msapipe.pipeline.spec import PipelineSpec

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATHS...",
        help="Files, folders (searched through), patterns in quotes, a .txt list of paths, or - for standard input.",
        show_default=False,
    ),
]
Pipeline = Annotated[
    str,
    typer.Option(
        "--pipeline", "-p", envvar="MSAPIPE_PIPELINE", help="Pipeline: a name (msapipe list) or a .yaml file."
    ),
]
ModelPipeline = Annotated[
    str | None,
    typer.Option(
        "--pipeline",
        "-p",
        envvar="MSAPIPE_PIPELINE",
        help="Pipeline: a name (msapipe list) or a .yaml file.",
        show_default="the one that the model was trained on, else pocket",
    ),
]
Model = Annotated[
    str | None, typer.Option("--model", "-m", envvar="MSAPIPE_MODEL", help="A model instead of the pipeline's own.")
]
AllowMismatch = Annotated[
    bool, typer.Option("--allow-mismatch", help="Score with features that the model was not trained on.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Stop after so many clips.")]
DataSet = Annotated[
    str,
    typer.Option(
        "--dataset",
        "-d",
        help="How folders are read (msapipe list): mosi, sims, table ...",
        show_default="table where there is a label.csv, else every media file",
    ),
]
Cache = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="DIR|URL",
        envvar="MSAPIPE_CACHE",
        help="Folder of results, or its address in a storage service: s3://bucket/folder.",
        show_default="the user's cache folder",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        "--devices",
        envvar="MSAPIPE_DEVICE",
        help="auto, cpu, cuda:N, or for extract several: cuda:0,cuda:1 or 0,1.",
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="NAME",
        help="float32 or bfloat16, for every network that can: slightly other features, in half the time or less.",
        show_default="what the pipeline says: float32",
    ),
]
Jobs = Annotated[
    int,
    typer.Option("--jobs", "-j", envvar="MSAPIPE_JOBS", min=0, help="Worker processes; 0: one a core, if that pays."),
]
Retry = Annotated[bool, typer.Option("--retry", help="Try files again on which the decoder died before.")]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline", envvar="MSAPIPE_OFFLINE", help="Download nothing; weights that are not here are an error."
    ),
]
AcceptLicence = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-licence",
        metavar="NAME",
        help="Accept the licence of these weights, which does not allow every use; it is remembered.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", envvar="MSAPIPE_QUIET", help="Say nothing but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", envvar="MSAPIPE_VERBOSE", help="Say more.")]


class _Marking(logging.Formatter):
    """Marks invisible characters, as messages may quote untrusted names and metadata."""

    def format(self, record: logging.LogRecord) -> str:
        """The message with marks for invisible characters."""
        return marked(super().format(record))


def console(quiet: bool = False, verbose: bool = False) -> Console:
    """The console on standard error, which also shows log messages. Standard output is for results."""
    from rich.logging import RichHandler

    err = _streams.console(stderr=True, quiet=quiet)
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING
    logger = logging.getLogger("msapipe")
    handler = RichHandler(console=err, show_path=False, rich_tracebacks=False)
    handler.setFormatter(_Marking("%(message)s"))
    logger.handlers = [handler]
    logger.setLevel(level)
    return err


def accept_licences(names: list[str] | None, spec: PipelineSpec | None) -> None:
    """Remember that the user accepts the licences of these weights; UnknownName for unknown ones."""
    if not names:
        return
    from msapipe.errors import UnknownName
    from msapipe.registry import did_you_mean
    from msapipe.stages.known_weights import every_weights
    from msapipe.weights import accept

    known = {weights.name for weights in every_weights()}
    if spec is not None:
        known |= {weights.name for use in spec.uses() for weights in use.stage.own_weights()}
    for name in names:
        if name not in known:
            raise UnknownName(f"--accept-licence: no weights are called {name!r}{did_you_mean(name, known)}")
    for name in names:
        accept(name)


def cache_folder(named: str | None) -> str:
    """The given folder or address, or the default one."""
    from msapipe.cache.place import default_place

    return named if named is not None else default_place()
