"""msapipe demo: a page to try out clips and models."""

from __future__ import annotations

from typing import Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli import serve
from msapipe.cli._streams import escape


def demo(
    host: serve.Host = "127.0.0.1",
    port: serve.Port = 7860,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="A model beside the bundled ones; repeatable.",
            show_default=False,
        ),
    ] = None,
    cache: options.Cache = None,
    device: options.Device = "auto",
    at_once: serve.AtOnce = 1,
    max_mb: serve.MaxMegabytes = 100.0,
    max_seconds: serve.MaxSeconds = 300.0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Show a page in the browser: upload or record a clip, choose pipeline and model, compare two models.

    Nothing leaves the machine, and nothing is downloaded: fetch weights first.
    """
    import tempfile
    import webbrowser
    from pathlib import Path

    serve.need("demo", "fastapi", "gradio", "uvicorn")
    from msapipe.pipeline.card import model_names
    from msapipe.pipeline.spec import pipeline_names
    from msapipe.serve.demo import make_demo
    from msapipe.serve.jobs import Desk, Limits
    from msapipe.serve.scorer import Scorer
    from msapipe.serve.server import open_socket, run

    console = options.console(quiet, verbose)
    own = model or []
    for each in own:
        serve.start_of(None, each, cache, device, offline=True)  # report unusable models now
    start, name = serve.start_of(None, own[0] if own else None, cache, device, offline=True)
    models = list(dict.fromkeys((name, *own, *model_names())))
    desk = Desk(lambda: Scorer(start), Limits(max_mb, max_seconds, at_once, queue=32))
    with tempfile.TemporaryDirectory(prefix="msapipe-demo-", ignore_cleanup_errors=True) as temporary:
        app = make_demo(desk, list(pipeline_names()), models, Path(temporary))
        listening = open_socket(host, port)
        address = serve.address_of(host, listening.getsockname()[1])
        console.print(f"the page is at {escape(address)}", soft_wrap=True)
        if open_browser:
            webbrowser.open(address)
        run(app, desk, listening, 0)
    console.print("stopped")
    return 0
