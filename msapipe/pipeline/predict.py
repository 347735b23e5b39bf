"""From features to a score: the model is asked once with everything, and once more without each modality."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msapipe.cache import Store, digest
from msapipe.cache.key import SCHEMA
from msapipe.errors import CacheError, FeatureMismatch, NothingToScore
from msapipe.pipeline.card import Card, check_features, model_folder, read_card
from msapipe.pipeline.network import load_network
from msapipe.pipeline.recipe import Recipe
from msapipe.pipeline.run import Outcome
from msapipe.types import Contribution, FeatureSequence, Prediction

if TYPE_CHECKING:
    from msapipe.fusion._base import FusionModel, Output


class Model:
    """A model folder, checked against a recipe; its numbers are read when a score is first computed.

    Raises FeatureMismatch when the recipe makes other features than it was trained on, unless ``allow_mismatch``.
    """

    def __init__(self, name: str, recipe: Recipe, allow_mismatch: bool = False) -> None:
        beside = recipe.source.parent if recipe.source else None
        self.name = name
        self.folder: Path = model_folder(name, beside)
        self.card: Card = read_card(self.folder)
        self._mismatch = ""
        try:
            check_features(self.card, recipe, name)
        except FeatureMismatch as error:
            if not allow_mismatch:
                raise
            self._mismatch = str(error).splitlines()[0]
        self._network: FusionModel | None = None

    def predict(self, outcome: Outcome, store: Store) -> Prediction:
        """The score of a clip whose features are there; raises NothingToScore."""
        features = {name: outcome.features[name] for name in self.card.dims if name in outcome.features}
        if not any(part.valid.any() for part in features.values()):
            raise NothingToScore(f"{outcome.clip.path}: nothing to score: {'; '.join(outcome.notes)}")
        for name, part in features.items():
            if part.values.shape[1] != self.card.dims[name]:
                raise FeatureMismatch(
                    f"{outcome.clip.path}: {name} has {part.values.shape[1]} columns, model {self.name} reads "
                    f"{self.card.dims[name]}; {'; '.join(outcome.notes) or 'see msapipe plan'}"
                )
        recipe = {
            "schema": SCHEMA,
            "slot": "prediction",
            "model": digest({"card": self.card.model_dump(mode="json")}),
            "inputs": {name: outcome.keys[name] for name in features},
        }
        # A modality that could not be computed this once (a library is missing, say) must not be remembered.
        recipe["missing"] = [name for name in self.card.dims if name not in features]
        key = digest(recipe)
        entry = store.get("prediction", key)
        if entry is not None and isinstance(entry.value, Prediction):
            return entry.value
        prediction = self._score(features, {name: outcome.keys[name] for name in features})
        # The score is what was asked for; that nothing can be kept is noted with the features.
        with contextlib.suppress(CacheError):
            store.put("prediction", key, prediction, recipe)
        return prediction

    def _score(self, features: Mapping[str, FeatureSequence], keys: dict[str, str]) -> Prediction:
        import torch

        from msapipe.fusion._base import collate

        network = self._load()
        with torch.inference_mode():
            batch = collate([features], self.card.dims)
            whole = network(batch)
            without = {name: network(batch.without(name)) for name in self.card.dims}
        there = {name for name, part in features.items() if part.valid.any()}
        low, high = self.card.scale
        score = min(max(float(whole.score[0]), low), high)
        return Prediction(
            score=score,
            scale=(low, high),
            polarity=2 * (score - low) / (high - low) - 1,
            label=self.card.label(score),
            model=self.name,
            modalities={
                name: _contribution(name, features.get(name), there, whole, without[name]) for name in self.card.dims
            },
            notes=self._notes(),
            keys=keys,
        )

    def _notes(self) -> tuple[str, ...]:
        notes = () if self.card.calibrated else ("uncalibrated: the weights were stated, not learned from labels",)
        return (*notes, *self.card.notes, *((self._mismatch,) if self._mismatch else ()))

    def _load(self) -> FusionModel:
        if self._network is None:
            self._network = load_network(self.folder, self.card, self.name)
        return self._network


def _contribution(
    name: str, part: FeatureSequence | None, there: set[str], whole: Output, without: Output
) -> Contribution:
    missing = name not in there
    alone = whole.unimodal.get(name)
    others = there - {name}
    return Contribution(
        coverage=part.coverage if part is not None else 0.0,
        missing=missing,
        score=None if missing or alone is None else float(alone[0]),
        score_without=float(without.score[0]) if others else None,
    )
