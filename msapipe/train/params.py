"""``--set key=value``: a model parameter or a training setting, checked against its type."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, get_type_hints

from msapipe.documents import read_yaml, shown
from msapipe.errors import ConfigError, UnknownName
from msapipe.fusion._base import FusionModel, Group, Phase
from msapipe.registry import did_you_mean
from msapipe.train.settings import OF_GROUPS, OF_PHASES, Settings


def parameters(cls: type[FusionModel]) -> dict[str, inspect.Parameter]:
    """The keyword parameters of a model: name to annotation and default."""
    found = inspect.signature(cls.__init__).parameters
    return {name: item for name, item in found.items() if name not in ("self", "dims")}


def assign(cls: type[FusionModel], assignments: Iterable[str]) -> tuple[dict[str, Any], Settings]:
    """Model parameters and settings from ``key=value`` texts; values are read as YAML, lists also as "a,b".

    A setting of one phase or group is "phase.NAME.key" or "group.NAME.key" (see Settings). Raises ConfigError naming
    the nearest known key, or what was expected.
    """
    params: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    single: dict[str, Any] = {}
    of_model, of_training = parameters(cls), get_type_hints(Settings)
    hints = get_type_hints(cls.__init__)
    for text in assignments:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals:
            raise ConfigError(f"--set {text}: expected key=value")
        if name in of_model:
            params[name] = _read(hints.get(name, Any), value, name)
        elif name in _SETTINGS:
            settings[name] = _read(of_training[name], value, name)
        elif name.partition(".")[0] in ("phase", "group"):
            single[name] = _read(_hint_of_single(name), value, name)
        else:
            known = [*of_model, *_SETTINGS]
            raise ConfigError(f"--set {name}: {cls.__name__} has no such parameter{did_you_mean(name, known)}")
    return params, Settings(**settings, single=single)


_SETTINGS = [item.name for item in fields(Settings) if item.name not in ("seed", "single")]


def _hint_of_single(path: str) -> Any:
    """The type of "phase.NAME.key", "group.NAME.key" or "phase.NAME.group.NAME.key"."""
    *where, key = path.split(".")
    kinds = tuple(where[::2])
    allowed = {("phase",): (*OF_PHASES, *OF_GROUPS), ("group",): OF_GROUPS, ("phase", "group"): OF_GROUPS}
    if len(where) % 2 or kinds not in allowed:
        raise ConfigError(f"--set {path}: expected phase.NAME.key, group.NAME.key or phase.NAME.group.NAME.key")
    if key not in allowed[kinds]:
        known = allowed[kinds]
        raise ConfigError(f"--set {path}: no setting {key!r}{did_you_mean(key, known)}; there is {', '.join(known)}")
    return get_type_hints(Group if key in OF_GROUPS else Phase)[key]


def _read(hint: Any, text: str, name: str) -> Any:
    """A value of a type: read as YAML, as written (the literal "0"), or as a list without brackets."""
    from pydantic import TypeAdapter, ValidationError

    try:
        found: Any = read_yaml(text)
    except ValueError:  # no valid YAML, such as "[a"
        found = text
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    errors: list[ValidationError] = []
    for value in (found, text.strip(), parts):
        try:
            return TypeAdapter(hint).validate_python(value)
        except ValidationError as error:
            errors.append(error)
    raise ConfigError(f"--set {name}: {errors[0].errors()[0]['msg']}, found {shown(text.strip())}") from errors[0]


def of_preset(cls: type[FusionModel], model: str, corpus: str) -> list[str]:
    """A preset as ``--set`` assignments. Raises UnknownName if the model has no such preset."""
    if corpus not in cls.presets:
        raise UnknownName(f"--preset {corpus}: {model} has no such preset{did_you_mean(corpus, cls.presets)}")
    # ``--set`` reads JSON as YAML; JSON keeps "1" apart from 1.
    return [f"{name}={json.dumps(value)}" for name, value in cls.presets[corpus].values.items()]
