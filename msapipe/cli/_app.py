"""The program: its commands, its version, and the text of `msapipe --help`."""

from __future__ import annotations

from typing import Annotated

import typer

from msapipe.cli import (
    cache,
    compare,
    convert,
    data,
    demo,
    doctor,
    embed,
    evaluate,
    explain,
    extract,
    listing,
    plan,
    predict,
    render,
    report,
    serve,
    train,
    tune,
    weights,
)

app = typer.Typer(
    name="msapipe",
    help="A raw video in, a sentiment score out.",
    epilog="Exit codes: 0 all good, 1 all failed, 2 usage, 3 some failed, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from msapipe import __version__

        print(f"msapipe {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("predict")(predict.predict)
app.command("report")(report.report)
app.command("render")(render.render)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("extract")(extract.extract)
app.command("plan")(plan.plan)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("tune")(tune.tune)
app.command("embed")(embed.embed)
app.command("explain")(explain.explain)
app.command("convert")(convert.convert)
app.command("list")(listing.listing)
app.command("doctor")(doctor.doctor)
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")
app.add_typer(weights.app, name="weights")
