"""The part of a recipe that needs no GPU: a first pass by machines that have none, which changes no key."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from msapipe.pipeline.recipe import Recipe, Use, parse_recipe
from msapipe.stages import CHAINS


def can_use_gpu(recipe: Recipe) -> bool:
    """Whether a stage of the recipe is faster on a GPU."""
    return any(type(use.stage).on_device for use in recipe.uses())


def on_cpu(recipe: Recipe) -> Recipe | None:
    """The recipe without the stages that can use a GPU, and without those that read what such a stage makes.

    Of alternatives only those are kept that stand before the first one left out: later ones may never be asked.
    The keys of what is kept are those of the whole recipe, so that a second pass finds its results. None when nothing
    is left.
    """
    import yaml

    data = yaml.safe_load(recipe.text)
    waiting: set[str] = set()

    def fits(use: Use) -> bool:
        return not type(use.stage).on_device and waiting.isdisjoint(use.needs())

    kept: dict[str, Any] = {}
    for slot, uses in recipe.stages.items():
        fitting = list(takewhile(fits, uses)) if slot in CHAINS else list(filter(fits, uses))
        if fitting:
            kept[slot] = _entries(data["stages"][slot], [use in fitting for use in uses])
        if len(fitting) < len(uses):
            waiting.add(slot)
    if not kept:
        return None
    data["stages"] = kept
    data.pop("align", None)  # the words may be among what is left out, and nothing is put together yet
    return parse_recipe(yaml.safe_dump(data, sort_keys=False), recipe.name, recipe.source)


def _entries(entry: Any, kept: list[bool]) -> Any:
    """What stands under a slot (alternatives, channels, or one stage), without what is not kept."""
    if isinstance(entry, list):
        return [item for item, keep in zip(entry, kept, strict=True) if keep]
    if isinstance(entry, dict) and "use" not in entry:
        return {name: item for (name, item), keep in zip(entry.items(), kept, strict=True) if keep}
    return entry
