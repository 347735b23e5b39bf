"""A recipe file, read strictly: what it says is checked before any video is opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from msapipe.align import THIN
from msapipe.documents import MOST_YAML, read_yaml, shown, text_of
from msapipe.errors import MsapipeError, RecipeError, UnknownName
from msapipe.media import MediaOptions
from msapipe.registry import did_you_mean
from msapipe.resources import bundled
from msapipe.stages import CHAINS, MODALITIES, SLOTS, STAGES, Stage

T = TypeVar("T")

SCHEMA = 1
DEFAULT = "pocket"

# Inputs that need no stage, and the slots that stand behind the one that is made of two.
_SOURCES = ("clip", "media", "frames", "waveform")
_MADE_OF = {"face_clip": ("faces", "speaker")}


@dataclass(frozen=True)
class Use:
    """One stage of a recipe: which slot it fills, as which channel, and the stage itself with its parameters."""

    slot: str
    channel: str
    name: str
    stage: Stage

    @property
    def where(self) -> str:
        """How messages call it: "vision.resnet18"."""
        return f"{self.slot}.{self.channel}"

    def needs(self) -> tuple[str, ...]:
        """The slots that it reads, with face_clip resolved to faces and speaker."""
        return self._needs

    @cached_property
    def asks(self) -> tuple[str, ...]:
        """What its ``run`` asks for."""
        return type(self.stage).needs()

    @cached_property
    def _needs(self) -> tuple[str, ...]:
        return tuple(slot for name in self.asks for slot in _MADE_OF.get(name, (name,)))

    @cached_property
    def identity(self) -> tuple[dict[str, Any], list[str]]:
        """Parameters and weights for the key, the same for every clip: asked for once."""
        return self.stage.params(), [weights.identity for weights in self.stage.own_weights()]


@dataclass(frozen=True)
class Recipe:
    """What is computed from a clip.

    stages: slot to its stages; several are alternatives (CHAINS: the first that yields) or channels
    (text, audio, vision: put side by side).
    align: "words", "tokens" (the rows of the first text channel), a number of equal steps, "thin N" (each stage's own
    rows, of more than N so many at even spacing), or None for each stage's own times.
    model: a folder in models/, a path to one, or None.
    accept_licences: names of weights whose licence, which does not allow every use, the recipe's user accepts.
    source, text: the file that it was read from, and what stood in it.
    """

    name: str
    about: str
    media: MediaOptions
    stages: Mapping[str, tuple[Use, ...]]
    align: str | int | None = None
    model: str | None = None
    accept_licences: tuple[str, ...] = ()
    source: Path | None = field(default=None, compare=False)
    text: str = field(default="", compare=False, repr=False)

    @property
    def called(self) -> str:
        """What ``--pipeline`` takes for it: the name of a bundled recipe, or its file."""
        own = self.source is not None and recipe_names().get(self.name) != self.source
        return str(self.source) if own else self.name

    def uses(self) -> tuple[Use, ...]:
        """All stages in the order in which a clip flows through them."""
        return tuple(use for slot in SLOTS for use in self.stages.get(slot, ()))

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that it makes features of."""
        return tuple(slot for slot in MODALITIES if self.stages.get(slot))


def recipe_names() -> dict[str, Path]:
    """Name to file of the recipes that come with msapipe."""
    return {path.stem: path for path in sorted(bundled("pipelines").glob("*.yaml"))}


def load_recipe(name: str) -> Recipe:
    """Read a recipe by name, or from a file when ``name`` ends in .yaml or .yml or holds a path separator."""
    known = recipe_names()
    if name in known:
        path = known[name]
    elif name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise RecipeError(f"{name}: there is no such recipe file; type: msapipe list recipes")
    else:
        raise UnknownName(f"no recipe is called {name!r}{did_you_mean(name, known)}")
    try:
        return parse_recipe(text_of(path, MOST_YAML), path.stem, path)
    except (MsapipeError, OSError, ValueError) as error:
        raise RecipeError(f"{path}: {error}") from error


def portable_text(recipe: Recipe) -> str:
    """The recipe's text with checkpoints that lie beside its file named by their whole paths: fit for any folder."""
    import yaml

    if recipe.source is None:
        return recipe.text
    data = read_yaml(recipe.text)
    changed = False
    entries = [data.get("stages")]
    while entries:
        entry = entries.pop()
        if isinstance(entry, dict):
            checkpoint = entry.get("checkpoint")
            if isinstance(checkpoint, str) and checkpoint.startswith("."):
                entry["checkpoint"], changed = str((recipe.source.parent / checkpoint).resolve()), True
            entries += entry.values()
        elif isinstance(entry, list):
            entries += entry
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True) if changed else recipe.text


def parse_recipe(text: str, name: str, source: Path | None = None) -> Recipe:
    """A recipe from the text of its file; raises RecipeError naming the field."""
    try:
        data = read_yaml(text)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    data = _mapping(data, "the recipe")
    _known_keys(data, ("schema", "about", "media", "stages", "align", "model", "accept_licences"), "the recipe")
    if data.get("schema") != SCHEMA:
        raise RecipeError(f"schema: found {shown(data.get('schema'))}, this version reads {SCHEMA}")
    stages = _mapping(data.get("stages"), "stages")
    _known_keys(stages, SLOTS, "stages")
    recipe = Recipe(
        name=name,
        about=str(data.get("about", "")),
        media=build(MediaOptions, _mapping(data.get("media", {}), "media"), "media"),
        stages={slot: _slot(slot, stages[slot], source) for slot in SLOTS if slot in stages},
        align=_align(data.get("align")),
        model=_text_or_none(data.get("model"), "model"),
        accept_licences=_names(data.get("accept_licences", []), "accept_licences"),
        source=source,
        text=text,
    )
    _check_edges(recipe)
    return recipe


def build(cls: type[T], params: Mapping[str, Any], where: str) -> T:
    """Make a dataclass from plain values, types checked; raises RecipeError with the nearest known field."""
    from pydantic import TypeAdapter, ValidationError

    fields = [item.name for item in dataclasses.fields(cls) if item.init]  # type: ignore[arg-type]
    _known_keys(params, fields, where)
    try:
        return TypeAdapter(cls).validate_python(dict(params))
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in (where, *first["loc"]))
        raise RecipeError(f"{at}: {first['msg']}, found {shown(first['input'])}") from error


def _slot(slot: str, entry: Any, source: Path | None) -> tuple[Use, ...]:
    if isinstance(entry, list):
        if slot not in CHAINS:
            raise RecipeError(f"stages.{slot}: a list stands only for {', '.join(CHAINS)}; name channels instead")
        uses = tuple(_use(slot, None, item, f"stages.{slot}[{i}]", source) for i, item in enumerate(entry))
    elif isinstance(entry, dict) and "use" not in entry:
        if slot not in MODALITIES:
            raise RecipeError(
                f"stages.{slot}: write {{use: NAME, ...}}; channels stand only for {', '.join(MODALITIES)}"
            )
        uses = tuple(_use(slot, str(name), item, f"stages.{slot}.{name}", source) for name, item in entry.items())
    else:
        uses = (_use(slot, None, entry, f"stages.{slot}", source),)
    if not uses:
        raise RecipeError(f"stages.{slot}: names no stage; leave the slot out instead")
    return uses


def _use(slot: str, channel: str | None, entry: Any, where: str, source: Path | None) -> Use:
    params = {"use": entry} if isinstance(entry, str) else dict(_mapping(entry, where))
    name = params.pop("use", None)
    if not isinstance(name, str):
        raise RecipeError(f"{where}: says no stage; write use: NAME{did_you_mean('', STAGES[slot].where())}")
    try:
        cls = STAGES[slot].get(name)
    except UnknownName as error:
        raise UnknownName(f"{where}: {error}") from error
    checkpoint = params.get("checkpoint")
    if source is not None and isinstance(checkpoint, str) and checkpoint.startswith("."):
        params["checkpoint"] = str((source.parent / checkpoint).resolve())
    stage = build(cls, params, where)
    stage.own_weights()  # a checkpoint that does not exist is found out before any video is opened
    return Use(slot, channel or name, name, stage)


def _check_edges(recipe: Recipe) -> None:
    """Every slot that a stage reads must be filled by an earlier one."""
    for use in recipe.uses():
        for slot in use.needs():
            if slot in _SOURCES:
                continue
            if slot not in recipe.stages:
                raise RecipeError(f"stages.{use.where} reads {slot}, which the recipe does not fill; add stages.{slot}")
            if SLOTS.index(slot) >= SLOTS.index(use.slot):
                raise RecipeError(f"stages.{use.where} reads {slot}, which comes later")


def _align(value: Any) -> str | int | None:
    if value in (None, "none", "words", "tokens"):
        return None if value in (None, "none") else str(value)
    if isinstance(value, dict) and set(value) == {"to"} and type(value["to"]) is int and value["to"] > 0:
        return int(value["to"])
    if isinstance(value, dict) and set(value) == {"thin"} and type(value["thin"]) is int and value["thin"] > 0:
        return f"{THIN}{value['thin']}"
    raise RecipeError(f"align: found {shown(value)}, expected words, tokens, {{to: STEPS}}, {{thin: STEPS}} or none")


def _names(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RecipeError(f"{where}: found {shown(value)}, expected a list of names")
    return tuple(value)


def _text_or_none(value: Any, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise RecipeError(f"{where}: found {shown(value)}, expected text")
    return value


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RecipeError(f"{where}: found {shown(value)}, expected a mapping of names to values")
    return {str(name): item for name, item in value.items()}


def _known_keys(found: Mapping[str, Any], known: tuple[str, ...] | list[str], where: str) -> None:
    for key in found:
        if key not in known:
            raise RecipeError(f"{where}: no key {shown(key)}{did_you_mean(key, known)}")
