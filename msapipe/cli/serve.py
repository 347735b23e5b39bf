"""msapipe serve: scores over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli._streams import escape

if TYPE_CHECKING:
    from msapipe.serve.scorer import Start

_HERE = ("127.0.0.1", "::1", "localhost")
_NAMES_HERE = ("127.0.0.1", "[::1]", "localhost")

Host = Annotated[str, typer.Option("--host", help="The address to listen on; 0.0.0.0 is every one of this machine.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0: any free one, which is said.")]
AtOnce = Annotated[
    int, typer.Option("--at-once", min=1, max=64, help="Clips scored side by side, each by a process of its own.")
]
MaxMegabytes = Annotated[float, typer.Option("--max-mb", min=0.1, help="The largest clip that is taken, in MB.")]
MaxSeconds = Annotated[float, typer.Option("--max-seconds", min=1, help="The longest time that a clip may take.")]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    root: Annotated[
        Path | None,
        typer.Option(help="Clips below this folder may be named by their path.", show_default="uploads only"),
    ] = None,
    pipeline: options.ModelPipeline = None,
    model: options.Model = None,
    cache: options.Cache = None,
    device: options.Device = "auto",
    at_once: AtOnce = 1,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Clips that may wait; more get 429.")] = 64,
    max_mb: MaxMegabytes = 100.0,
    max_seconds: MaxSeconds = 300.0,
    keep_minutes: Annotated[
        float, typer.Option("--keep-minutes", min=0.1, help="How long results and reports are kept.")
    ] = 60.0,
    grace: Annotated[
        float, typer.Option("--grace", min=0, help="Seconds that clips in hand get when the server is stopped.")
    ] = 20.0,
    token: Annotated[
        str,
        typer.Option(
            "--token",
            envvar="MSAPIPE_TOKEN",
            help="What clients must send as a bearer token; better given by the variable, which no list shows.",
            show_default=False,
        ),
    ] = "",
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Score clips over HTTP: uploads, jobs with progress, results as JSON, reports; the API is shown at /docs."""
    from msapipe.errors import ConfigError

    need("serve", "fastapi", "fastapi_swagger", "prometheus_client", "python_multipart", "uvicorn")
    from msapipe.serve.api import Settings, make_app
    from msapipe.serve.counting import Counting
    from msapipe.serve.jobs import Desk, Limits
    from msapipe.serve.scorer import Scorer
    from msapipe.serve.server import open_socket, run

    console = options.console(quiet, verbose)
    start, name = start_of(pipeline, model, cache, device, offline)
    if root is not None and not root.is_dir():
        raise ConfigError(f"--root {root}: found {'a file' if root.exists() else 'nothing'}, expected a folder")
    if not token and host not in _HERE:
        if root is not None:
            raise ConfigError(f"--root on {host} needs a token, or everybody may read what lies there: MSAPIPE_TOKEN")
        console.print(f"[yellow]anybody who reaches {escape(host)} may use this server; see --token[/yellow]")
    counting = Counting()
    limits = Limits(max_mb, max_seconds, at_once, queue, keep_seconds=60 * keep_minutes)
    listening = open_socket(host, port)
    desk = Desk(lambda: Scorer(start), limits, counting.job)
    only = _NAMES_HERE if host in _HERE and not token else ()
    settings = Settings(None if root is None else root.resolve(), token, name, only)
    address = address_of(host, listening.getsockname()[1])
    console.print(
        f"serving model {escape(name)} on {escape(address)}, the API at {escape(address)}/docs", soft_wrap=True
    )
    run(make_app(desk, settings, counting), desk, listening, grace)
    console.print("stopped")
    return 0


def start_of(
    pipeline: str | None, model: str | None, cache: str | None, device: str, offline: bool
) -> tuple[Start, str]:
    """The start message for scoring processes, and the model's name; raises ConfigError if the options do not fit."""
    from msapipe.pipeline.device import resolve_device
    from msapipe.pipeline.model_pipeline import choose_spec
    from msapipe.pipeline.scoring import model_of
    from msapipe.serve.scorer import Start

    if device not in ("auto", "cpu"):
        resolve_device(device)
    scorer, _ = model_of(model, choose_spec(pipeline, model), [], False)
    return Start(options.cache_folder(cache), device, offline, pipeline, model), scorer.name


def address_of(host: str, port: int) -> str:
    """The server's address for a browser."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{named}]:{port}" if ":" in named else f"http://{named}:{port}"


def need(extra: str, *modules: str) -> None:
    """Raise MissingLibrary, with what to type, if a package of an extra is not installed."""
    from importlib.util import find_spec

    from msapipe.errors import MissingLibrary

    for module in modules:
        if find_spec(module) is None:
            raise MissingLibrary(f"msapipe {extra} needs {module}; type: pip install 'msapipe[{extra}]'")
