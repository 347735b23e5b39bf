"""Pages made of what the package says of itself: one a pipeline, stage, fusion model and model folder.

Each function returns Markdown; ``pages`` names every page by its path below docs/.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from plain_text import literally

from msapipe.datasets import READERS
from msapipe.pipeline.spec import PipelineSpec, load_spec, pipeline_names
from msapipe.registry import Registry
from msapipe.resources import bundled
from msapipe.stages import SLOTS, STAGES, Stage
from msapipe.weights import Weights

# The class is not asked for: that would import torch, and the files say enough.
FUSION: Registry[Any] = Registry("fusion model", "msapipe.fusion", object, "msapipe.fusion")
_FACTS = ("paper", "year", "inputs", "aligned", "tasks", "parameters")
_CARD = re.compile(r"\]\(\.\./(\w+)/README\.md\)")
_FILE = re.compile(r"\[([^\]]*)\]\((?!https?:)(?:\.\./)*([\w/.-]+\.(?:py|ya?ml|csv))\)")


def pages() -> dict[str, str]:
    """Path below docs/ to the text of every page that is made here."""
    specs = {name: load_spec(name) for name in pipeline_names()}
    found = {f"pipelines/{name}.md": pipeline_page(spec) for name, spec in specs.items()}
    found |= {
        f"stages/{slot}/{name}.md": stage_page(slot, name, specs.values())
        for slot in SLOTS
        for name in _ours(STAGES[slot])
    }
    found |= {f"fusion/{name}.md": fusion_page(name) for name in _ours(FUSION)}
    found |= {f"models/{name}.md": card_page(name) for name in _cards()}
    return found | {
        "pipelines/index.md": _index("Pipelines", "what is computed from a clip", _pipeline_rows(specs)),
        "stages/index.md": _index("Stages", "what fills a slot", _stage_rows()),
        "fusion/index.md": _index("Fusion models", "what makes a score of features", _fusion_rows()),
        "models/index.md": _index(
            "Trained models", "what comes with msapipe, models and the heads in them", _model_rows()
        ),
        "datasets.md": _classes("Data sets", "What `--dataset` takes.", READERS),
    }


def pipeline_page(spec: PipelineSpec) -> str:
    """What a pipeline runs, the weights behind it, and its file."""
    rows = [
        (f"`{use.where}`", f"[{use.slot}/{use.name}](../stages/{use.slot}/{use.name}.md)", _params(use.stage.params()))
        for use in spec.uses()
    ]
    weights = {one.name: one for use in spec.uses() for one in use.stage.own_weights()}
    model = f"[`{spec.model}`](../models/{spec.model}.md)" if spec.model else "none; train one"
    return "\n\n".join(
        [
            f"# Pipeline `{spec.name}`",
            literally(spec.about),
            f"Grid: `{spec.align or 'own times'}`. Model: {model}.",
            _table(("slot and channel", "stage", "parameters"), rows),
            "## Weights",
            _weights(weights.values()),
            "## The file",
            f"```yaml\n{spec.text.rstrip()}\n```",
        ]
    )


def stage_page(slot: str, name: str, specs: Iterable[PipelineSpec]) -> str:
    """What a stage says of itself, its weights, and the pipelines that use it."""
    cls = STAGES[slot].get(name)
    using = [
        f"[`{spec.name}`](../../pipelines/{spec.name}.md)"
        for spec in specs
        if any((use.slot, use.name) == (slot, name) for use in spec.uses())
    ]
    reads = ", ".join(f"`{need}`" for need in cls.needs())
    return "\n\n".join(
        [
            f"# Stage `{slot}/{name}`",
            literally(STAGES[slot].about(name)),
            f"Fills `{slot}`, reads {reads}. Version {cls.version}. In the pipelines {', '.join(using) or '(none)'}.",
            _class(cls),
            # Several stages share a base, and a class may have one address only.
            *(_class(base, "skip_local_inventory: true") for base in _parameter_bases(cls)),
            "## Weights",
            _weights(cls.weights),
        ]
    )


def _class(cls: type, *options: str) -> str:
    return f"::: {cls.__module__}.{cls.__name__}\n    options: {{{', '.join(('members: false', *options))}}}"


def _parameter_bases(cls: type[Stage]) -> list[type]:
    """The classes that a stage has parameters from: their docstrings say what these mean."""
    names = {item.name for item in fields(cls)}
    return [base for base in cls.__mro__[1:] if names & set(vars(base).get("__annotations__", ()))]


def fusion_page(name: str) -> str:
    """What a fusion model's file says: paper, facts, presets, the class."""
    facts = FUSION.facts(name, "facts")
    presets = FUSION.keys(name, "presets")
    rows = [(key, _fact(facts[key])) for key in _FACTS if key in facts]
    return "\n\n".join(
        [
            f"# Fusion model `{name}`",
            _table(("fact", ""), rows) if rows else "",
            f"```\nmsapipe train features.safetensors --labels label.csv --model {name} -o my-{name}\n```",
            f"Presets (`--preset`): {', '.join(f'`{preset}`' for preset in presets) or 'none'}.",
            literally(FUSION.about(name)),
            *(
                f"::: msapipe.fusion.{name}.{cls}\n    options: {{members: false}}"
                for cls in reversed(_model_classes(name))
            ),
        ]
    )


def card_page(name: str) -> str:
    """The card of a model folder, its links led to the other cards' pages."""
    return _linked(_cards()[name])


def _cards() -> dict[str, str]:
    """Name to card of every folder of weights that comes with msapipe, models and heads."""
    paths = sorted(bundled("models").glob("*/README.md"))
    return {path.parent.name: path.read_text(encoding="utf-8") for path in paths}


def _linked(card: str) -> str:
    """A card with links to other cards led to their pages; files that are no page are named instead."""
    return _FILE.sub(r"\1 (`\2`)", _CARD.sub(r"](\1.md)", card))


def _ours(registry: Registry[Any]) -> list[str]:
    """Names without those of plug-ins that happen to be installed."""
    return [name for name, where in registry.where().items() if where.startswith("msapipe.")]


def _pipeline_rows(specs: dict[str, PipelineSpec]) -> Iterator[tuple[str, ...]]:
    for name, spec in specs.items():
        yield f"[`{name}`]({name}.md)", literally(spec.about)


def _stage_rows() -> Iterator[tuple[str, ...]]:
    for slot in SLOTS:
        for name in _ours(STAGES[slot]):
            yield f"[`{slot}/{name}`]({slot}/{name}.md)", literally(STAGES[slot].about(name))


def _fusion_rows() -> Iterator[tuple[str, ...]]:
    for name in _ours(FUSION):
        yield f"[`{name}`]({name}.md)", literally(FUSION.about(name))


def _model_rows() -> Iterator[tuple[str, ...]]:
    for name, card in _cards().items():
        first = card.split("\n\n")[1]
        yield f"[`{name}`]({name}.md)", _linked(" ".join(first.split()))


def _classes(title: str, about: str, registry: Registry[Any]) -> str:
    blocks = [
        f"## `{name}`\n\n{literally(registry.about(name))}\n\n"
        f"::: {registry.where()[name]}.{registry.get(name).__name__}\n"
        "    options: {members: false, show_root_heading: false, heading_level: 3}"
        for name in _ours(registry)
    ]
    return "\n\n".join([f"# {title}", about, *blocks])


def _index(title: str, about: str, rows: Iterable[tuple[str, ...]]) -> str:
    return f"# {title}\n\n{title}: {about}.\n\n{_table(('name', 'what it is'), rows)}"


def _weights(weights: Iterable[Weights]) -> str:
    rows = [
        (
            f"`{one.name}`",
            _size(one.size),
            one.licence,
            "any" if one.commercial else "not every use: to be accepted by name",
        )
        for one in weights
    ]
    return _table(("name", "size", "licence", "use"), rows) if rows else "None."


def _params(params: dict[str, object]) -> str:
    return ", ".join(f"`{name}={value}`" for name, value in params.items()) or "-"


def _size(size: int | None) -> str:
    if size is None:
        return "-"
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _model_classes(name: str) -> list[str]:
    """The public classes of a fusion model's file, read without importing it."""
    spec = find_spec(FUSION.where()[name])
    if spec is None or spec.origin is None:
        return []
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return [part.name for part in tree.body if isinstance(part, ast.ClassDef) and not part.name.startswith("_")]


def _fact(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
