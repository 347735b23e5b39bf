"""The Python face of msapipe: a recipe, a cache and a model in one object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from msapipe.cache import open_store
from msapipe.errors import MediaError
from msapipe.pipeline.model_recipe import choose_recipe
from msapipe.pipeline.plan import Plan, plan
from msapipe.pipeline.predict import Model
from msapipe.pipeline.recipe import Recipe
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.types import Clip, FeatureSequence, Prediction


class Pipeline:
    """A recipe at work. Use as a context manager, or call ``close``, to end its decoding process.

    >>> with msapipe.load("pocket") as pipeline:
    ...     print(pipeline.predict("clip.mp4").score)
    """

    def __init__(
        self,
        recipe: Recipe,
        cache: Path | str | None = None,
        model: str | None = None,
        options: Options | None = None,
        allow_mismatch: bool = False,
    ) -> None:
        self.recipe = recipe
        self.store = open_store(cache)
        self._runner = Runner(recipe, self.store, options or Options(must_keep=False))
        name = model or recipe.model
        self.model = Model(name, recipe, allow_mismatch) if name else None

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the decoding process and take unfinished files away."""
        self._runner.close()

    def run(self, clips: Iterable[Clip | Path | str]) -> Iterator[Outcome]:
        """Bring the features of clips into the cache, one outcome each; what is wrong with a clip is in it."""
        for clip in clips:
            yield self._runner.run(as_clip(clip))

    def features(self, clip: Clip | Path | str) -> dict[str, FeatureSequence]:
        """Features by modality ("text", "audio", "vision"); a modality without its source is left out.

        Raises MediaError when the file cannot be read.
        """
        return self._checked(clip).features

    def predict(self, clip: Clip | Path | str) -> Prediction:
        """The sentiment of a clip. Raises MediaError, or NothingToScore when no modality is there."""
        return self.score(self._checked(clip))

    def score(self, outcome: Outcome) -> Prediction:
        """The sentiment of a clip that was run already."""
        if self.model is None:
            raise MediaError(
                f"recipe {self.recipe.name} names no model; give one: load({self.recipe.name!r}, model=...)"
            )
        return self.model.predict(outcome, self.store)

    def plan(self, clip: Clip | Path | str) -> Plan:
        """What would be done for a clip, and what is stored already."""
        return plan(as_clip(clip), self.recipe, self.store)

    def _checked(self, clip: Clip | Path | str) -> Outcome:
        outcome = self._runner.run(as_clip(clip))
        if outcome.error is not None:
            raise MediaError(outcome.error)
        return outcome


def as_clip(clip: Clip | Path | str) -> Clip:
    """A whole file as a clip, called by its name."""
    return clip if isinstance(clip, Clip) else Clip(Path(clip).name, Path(clip))


def load(
    recipe: str | None = None,
    *,
    model: str | None = None,
    cache: Path | str | None = None,
    device: str = "auto",
    allow_mismatch: bool = False,
    offline: bool = False,
) -> Pipeline:
    """A pipeline from a recipe's name or file; None: the recipe that ``model`` reads, else pocket.

    model: a name or folder instead of the recipe's own.   cache: a folder, or the address of one in a storage service
    as fsspec knows it, "s3://bucket/msapipe" (default: MSAPIPE_CACHE, or the user's cache folder).   device: auto, cpu
    or cuda:N.   allow_mismatch: score even with features that the model was not trained on.   offline: weights that
    are not on this machine are an error, instead of being fetched.
    """
    options = Options(device=device, must_keep=False, offline=offline)
    return Pipeline(choose_recipe(recipe, model), cache, model, options, allow_mismatch)
