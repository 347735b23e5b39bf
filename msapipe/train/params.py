"""``--set key=value``: a parameter of the model or a setting of its training, checked against their types."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, get_type_hints

from msapipe.errors import RecipeError
from msapipe.fusion._base import FusionModel
from msapipe.registry import did_you_mean
from msapipe.train.loop import Settings


def parameters(cls: type[FusionModel]) -> dict[str, inspect.Parameter]:
    """The keyword parameters of a model: name to annotation and default."""
    found = inspect.signature(cls.__init__).parameters
    return {name: item for name, item in found.items() if name not in ("self", "dims")}


def assign(cls: type[FusionModel], assignments: Iterable[str]) -> tuple[dict[str, Any], Settings]:
    """Parameters of the model and settings of ``key=value`` texts; values are read as YAML.

    Raises RecipeError naming the nearest known key, or what was expected.
    """
    import yaml

    params: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    of_model, of_training = parameters(cls), get_type_hints(Settings)
    hints = get_type_hints(cls.__init__)
    for text in assignments:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals:
            raise RecipeError(f"--set {text}: expected key=value")
        found = yaml.safe_load(value)
        if name in of_model:
            params[name] = _checked(hints.get(name, Any), found, name)
        elif name in of_training and name != "seed":
            settings[name] = _checked(of_training[name], found, name)
        else:
            known = [*of_model, *(item.name for item in fields(Settings) if item.name != "seed")]
            raise RecipeError(f"--set {name}: {cls.__name__} has no such parameter{did_you_mean(name, known)}")
    return params, Settings(**settings)


def _checked(hint: Any, value: Any, name: str) -> Any:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(f"--set {name}: {first['msg']}, found {first['input']!r}") from error
