"""Variants of fusion models, from the command line or from the file of an ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msapipe.documents import MOST_YAML, read_yaml, text_of
from msapipe.errors import ConfigError, UnknownName
from msapipe.registry import did_you_mean
from msapipe.resources import bundled
from msapipe.stages import MODALITIES

OPENING, CLOSING, QUOTES = "([{", ")]}", "'\""


@dataclass(frozen=True)
class Variant:
    """A row of a comparison.

    label: the row's name.   assignments: key=value, as for ``--set``.   modalities: those it reads, () for all.
    channels: the only columns of their modalities, as "vision.resnet18".   preset: instead of the common one.
    published: the row's name in a table of published results.
    """

    label: str
    model: str
    assignments: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    preset: str | None = None
    published: str = ""

    def __post_init__(self) -> None:
        odd = [name for name in self.modalities if name not in MODALITIES]
        if odd:
            raise ConfigError(f"{self.label}: no modality is called {odd[0]!r}; expected {', '.join(MODALITIES)}")


@dataclass(frozen=True)
class Ablation:
    """The rows of a paper's table.

    preset: corpus of their settings, None: each model's own.   published: columns of a table of published results to
    the value that a row must have there (paper, table).
    """

    name: str
    about: str
    variants: tuple[Variant, ...]
    preset: str | None = None
    published: Mapping[str, str] = field(default_factory=dict)


def parse_variants(texts: Sequence[str]) -> tuple[Variant, ...]:
    """``agfn,agfn:fusion=ieg,smp:modalities=text+audio`` to variants. Raises ConfigError for anything else.

    Commas and colons inside brackets or quotes are part of a value.
    """
    found = tuple(_variant(text) for whole in texts for text in _parts(whole, ",") if text.strip())
    if not found:
        raise ConfigError("--models: name at least one, as in tfn,lmf,mult (msapipe list fusion)")
    return found


def _variant(text: str) -> Variant:
    name, *settings = (part.strip() for part in _parts(text.strip(), ":"))
    own: dict[str, Any] = {"label": text.strip(), "model": name}
    assignments = []
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--models {text}: expected key=value after the colon, found {setting!r}")
        if key in ("modalities", "channels"):
            own[key] = tuple(value.split("+"))
        elif key == "preset":
            own[key] = value
        else:
            assignments.append(setting)
    if not name.isidentifier():
        raise ConfigError(
            f"--models: {name!r} is no model; a value that holds a comma stands in quotes: dec:stages='1,3'"
        )
    return Variant(**own, assignments=tuple(assignments))


def _parts(text: str, mark: str) -> list[str]:
    """The text split at each mark outside brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES:
            quote = letter
        else:
            depth += (letter in OPENING) - (letter in CLOSING)
        if letter == mark and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def ablation_names() -> dict[str, Path]:
    """Name to file of the ablations that come with msapipe."""
    return {path.stem: path for path in sorted(bundled("ablations").glob("*.yaml"))}


def load_ablation(name: str) -> Ablation:
    """An ablation by name, or from a file when ``name`` ends in .yaml or .yml or holds a path separator."""
    known = ablation_names()
    path = known.get(name, Path(name))
    if name not in known and not (name.endswith((".yaml", ".yml")) or "/" in name):
        raise UnknownName(f"no ablation is called {name!r}{did_you_mean(name, known)}")
    try:
        data = read_yaml(text_of(path, MOST_YAML))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as an ablation: {' '.join(str(error).split())}") from error
    try:
        return _ablation(path.stem, data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _ablation(name: str, data: Any) -> Ablation:
    whole = _mapping(data, "the ablation", ("schema", "about", "preset", "published", "set", "rows"))
    if whole.get("schema") != 1:
        raise ConfigError(f"schema: found {whole.get('schema')!r}, this version reads 1")
    rows = whole.get("rows")
    if not isinstance(rows, list) or not rows:
        raise ConfigError("rows: expected a list of rows, each with a model")
    common = _settings(whole.get("set", {}), "set")
    variants = tuple(_row(row, f"rows, number {number}", common) for number, row in enumerate(rows, 1))
    labels = [variant.label for variant in variants]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise ConfigError(f"rows: two are called {twice[0]!r}")
    published = {key: str(value) for key, value in _mapping(whole.get("published", {}), "published").items()}
    return Ablation(name, str(whole.get("about", "")), variants, whole.get("preset"), published)


def _row(data: Any, where: str, common: tuple[str, ...]) -> Variant:
    row = _mapping(data, where, ("label", "model", "set", "modalities", "channels", "preset", "published"))
    if not isinstance(row.get("model"), str):
        raise ConfigError(f"{where}: names no model")
    label = str(row.get("label", row["model"]))
    return Variant(
        label,
        row["model"],
        (*common, *_settings(row.get("set", {}), where)),
        tuple(row.get("modalities", ())),
        tuple(row.get("channels", ())),
        row.get("preset"),
        str(row.get("published", label)),
    )


def _settings(data: Any, where: str) -> tuple[str, ...]:
    """A mapping as ``--set`` assignments; JSON is YAML too, and keeps "1" apart from 1."""
    import json

    return tuple(f"{key}={json.dumps(value)}" for key, value in _mapping(data, where).items())


def _mapping(data: Any, where: str, keys: Sequence[str] = ()) -> dict[str, Any]:
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ConfigError(f"{where}: expected keys with values, found {data!r}")
    for key in data:
        if keys and key not in keys:
            raise ConfigError(f"{where}: {key}{did_you_mean(key, keys)}")
    return data
