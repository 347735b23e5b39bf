"""A recipe with some modalities switched off: they, and what only they read, are not computed at all."""

from __future__ import annotations

from collections.abc import Iterable

from msapipe.errors import RecipeError, UnknownName
from msapipe.pipeline.recipe import Recipe, parse_recipe
from msapipe.registry import did_you_mean
from msapipe.stages import MODALITIES


def check_names(names: Iterable[str]) -> None:
    """Raise UnknownName for what is no modality, RecipeError when none is left."""
    for name in names:
        if name not in MODALITIES:
            raise UnknownName(f"--without: no modality is called {name!r}{did_you_mean(name, MODALITIES)}")
    if set(names) == set(MODALITIES):
        raise RecipeError(f"--without {', '.join(MODALITIES)}: nothing is left to score; keep one of them")


def without(recipe: Recipe, names: Iterable[str]) -> Recipe:
    """The recipe without these modalities, and without the slots that no other one reads.

    Keys of what remains are those of the whole recipe, so that results are shared with it. The words stay where the
    recipe aligns to them. Raises UnknownName, and RecipeError when the recipe has no other modality.
    """
    off = set(names)
    check_names(off)
    kept = [name for name in recipe.modalities if name not in off]
    if not kept:
        raise RecipeError(
            f"--without {', '.join(sorted(off))}: recipe {recipe.name} makes features of nothing else; "
            f"it has {', '.join(recipe.modalities) or 'no modality'}"
        )
    return cut(recipe, [*kept, *(["words"] if recipe.align == "words" else [])])


def cut(recipe: Recipe, slots: Iterable[str], drop: Iterable[str] = ()) -> Recipe:
    """The recipe with these slots and what they read; ``drop``: other entries of its file to leave out."""
    import yaml

    wanted = list(slots)
    read: set[str] = set()
    while wanted:
        slot = wanted.pop()
        if slot not in read:
            read.add(slot)
            wanted += [need for use in recipe.stages.get(slot, ()) for need in use.needs()]
    # Workers read the recipe's text, so that is what is changed.
    data = {name: part for name, part in yaml.safe_load(recipe.text).items() if name not in set(drop)}
    data["stages"] = {slot: entry for slot, entry in data["stages"].items() if slot in read}
    return parse_recipe(yaml.safe_dump(data, sort_keys=False), recipe.name, recipe.source)
