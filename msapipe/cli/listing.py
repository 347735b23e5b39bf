"""msapipe list: everything available, one line each, with the licence of its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from msapipe.cli import _streams
from msapipe.cli._streams import escape
from msapipe.registry import Registry

Row = tuple[str, ...]
# Columns after the first line of a fusion model's module; the last ones of other kinds are named below.
FACTS = ("paper", "year", "inputs", "aligned", "tasks", "parameters")
# On narrower terminals (columns), these facts go below the line of their model.
WIDE = 150
KINDS = ("pipelines", "stages", "models", "fusion", "ablations", "datasets", "formats")


def listing(
    kind: Annotated[str, typer.Argument(help=f"{', '.join(KINDS)}, or all.", show_default=True)] = "all",
) -> int:
    """List pipelines, stages, models, fusion models with their presets, ablations, data sets and file formats."""
    from rich.table import Table

    from msapipe.datasets import READERS
    from msapipe.errors import UnknownName
    from msapipe.formats import FORMATS
    from msapipe.registry import did_you_mean

    rows: dict[str, Callable[[], Iterator[Row]]] = {
        "pipelines": _pipelines,
        "stages": _stages,
        "models": _models,
        "fusion": _fusion,
        "ablations": _ablations,
        "datasets": lambda: _registered(READERS),
        "formats": lambda: _registered(FORMATS),
    }
    if kind not in (*rows, "all"):
        raise UnknownName(f"nothing to list is called {kind!r}{did_you_mean(kind, (*rows, 'all'))}")
    out = _streams.console()
    for name in rows if kind == "all" else (kind,):
        narrow = name == "fusion" and out.width < WIDE
        last = {"fusion": (*FACTS, "presets"), "ablations": ("preset",)}.get(name, ("licence",))
        table = Table(name, "", *(() if narrow else last), box=None, padding=(0, 2, 0, 0), title_justify="left")
        for row in rows[name]():
            table.add_row(*(escape(cell) for cell in (_below(row) if narrow else row)))
        out.print(table)
        if name == "models":
            out.print("To be trained: msapipe list fusion")
        out.print()
    return 0


def _pipelines() -> Iterator[Row]:
    from msapipe.pipeline.spec import load_spec, pipeline_names

    for name in pipeline_names():
        spec = load_spec(name)
        licences = sorted({weights.licence for use in spec.uses() for weights in use.stage.own_weights()})
        yield name, spec.about, ", ".join(licences)


def _stages() -> Iterator[Row]:
    from msapipe.stages import STAGES

    for slot, registry in STAGES.items():
        for name in registry.where():
            licences = sorted({weights.licence for weights in registry.get(name).weights})
            yield f"{slot}/{name}", registry.about(name), ", ".join(licences) or "-"


def _models() -> Iterator[Row]:
    from msapipe.pipeline.card import model_names, read_card

    for name, folder in model_names().items():
        card = read_card(folder)
        yield name, card.about, card.licence


def _fusion() -> Iterator[Row]:
    # The classes are not loaded: that would import torch, and the files suffice.
    models = Registry("fusion model", "msapipe.fusion", object, "msapipe.fusion")
    for name in models.where():
        facts = models.facts(name, "facts")
        known = [facts.get(key, "-") for key in FACTS]
        cells = [f"{fact:,}" if isinstance(fact, int) and fact > 9999 else str(fact) for fact in known]
        yield name, models.about(name), *cells, ", ".join(models.keys(name, "presets")) or "-"


def _below(row: Row) -> Row:
    """A fusion model's name, and its line with the facts below it."""
    name, about, paper, year, inputs, aligned, tasks, parameters, presets = row
    facts = f"{paper} {year}; inputs {inputs}; aligned {aligned}; tasks {tasks}; {parameters} parameters"
    return name, f"{about}\n{facts}; presets {presets}\n"


def _ablations() -> Iterator[Row]:
    from msapipe.train.variants import ablation_names, load_ablation

    for name in ablation_names():
        ablation = load_ablation(name)
        yield name, ablation.about, ablation.preset or "-"


def _registered(registry: Registry[Any]) -> Iterator[Row]:
    for name in registry.where():
        yield name, registry.about(name), "-"
