"""Which recipe a model folder reads, so that nobody must name it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msapipe.cache import digest
from msapipe.errors import FeatureMismatch, RecipeError
from msapipe.pipeline.card import Card, check_features, foreign, model_folder, no_raw_clip, read_card, signature
from msapipe.pipeline.recipe import DEFAULT, Recipe, load_recipe, portable_text, recipe_names
from msapipe.safe_paths import leads_out

# A recipe that is the user's own is kept in the model folder under this name.
OWN = "recipe.yaml"


def made_by(recipe: Recipe) -> dict[str, Any]:
    """What features of a recipe depend on, in the form of a model card, and the recipe itself."""
    bundled = recipe_names().get(recipe.name) == recipe.source
    named = {"name": recipe.name} if bundled else {"name": recipe.name, "text": portable_text(recipe)}
    return {"features": signature(recipe), "align": recipe.align, "recipe": named}


@dataclass(frozen=True)
class ModelRecipe:
    """What a model card says of its recipe: a bundled name or OWN, None when none is known; text: that of OWN."""

    name: str | None
    text: str = ""

    @classmethod
    def of(cls, made_by: Mapping[str, Any]) -> ModelRecipe:
        """By what the features of a data set depend on; where they name no recipe, a bundled one that makes them."""
        said = made_by.get("recipe") or {}
        if said.get("text"):
            return cls(OWN, said["text"])
        if said.get("name") in recipe_names():
            return cls(said["name"])
        for name in recipe_names():
            recipe = load_recipe(name)
            # By digest: what was read from a file has lists for tuples.
            if digest(signature(recipe)) == digest(dict(made_by["features"])) and recipe.align == made_by["align"]:
                return cls(name)
        return cls(None)


def recipe_of(model: str) -> Recipe:
    """The recipe that a model reads: that of its card, the one that is called as it, or a bundled one that fits.

    Raises RecipeError saying why when there is none: above all for models of features that another tool made.
    """
    if model in recipe_names():
        return load_recipe(model)
    folder = model_folder(model)
    card = read_card(folder)
    if card.recipe is not None:
        return load_recipe(str(_within(folder, card.recipe)) if card.recipe == OWN else card.recipe)
    for recipe in map(load_recipe, recipe_names()):
        with contextlib.suppress(FeatureMismatch):
            check_features(card, recipe, model)
            return recipe
    raise RecipeError(_why_none(card, model))


def choose_recipe(named: str | None, model: str | None) -> Recipe:
    """The recipe that was named, else that of the model that was named, else the default one."""
    if named is not None:
        return load_recipe(named)
    return load_recipe(DEFAULT) if model is None else recipe_of(model)


def _why_none(card: Card, model: str) -> str:
    if foreign(card):
        return no_raw_clip(card, model)
    return f"model {model} fits none of msapipe's recipes; name the one that it was trained on: --pipeline"


def _within(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise RecipeError(f"{path} is missing; {folder / 'model.yaml'} names it")
    if leads_out(path, folder):
        raise RecipeError(f"{path} is a link that leads out of the model's folder; put the file itself there")
    return path
