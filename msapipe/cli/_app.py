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


# In the order of `msapipe --help`.
for command in (
    *(predict.predict, report.report, render.render, serve.serve, demo.demo, extract.extract, plan.plan, train.train),
    *(evaluate.evaluate, compare.compare, tune.tune, embed.embed, explain.explain, convert.convert),
):
    app.command()(command)
app.command("list")(listing.listing)
app.command()(doctor.doctor)
for name, group in (("data", data.app), ("cache", cache.app), ("weights", weights.app)):
    app.add_typer(group, name=name)
