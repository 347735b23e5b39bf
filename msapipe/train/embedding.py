"""Do a model's errors lie together in the space in which it fuses? A map by t-SNE, and how far errors follow it.

PSC is that of AGFN (Wu et al.); t-SNE is van der Maaten and Hinton's (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from msapipe.errors import RecipeError
from msapipe.fusion._base import FusionModel
from msapipe.train.evaluate import predict
from msapipe.train.metrics import highest_errors, multiple_correlation, psc
from msapipe.train.table import Table
from msapipe.types import Sample

PERPLEXITY = 30.0
# With fewer, thirty neighbours of a clip are a third of the map.
LEAST_CLIPS = 100
SHUFFLES = 1000


@dataclass(frozen=True, eq=False)
class Embedding:
    """Clips on a map.

    places: (N, 2); the axes mean nothing, and neither does a rotation of them.   errors: (N,), |label - prediction|.
    highest: indices of the tenth with the largest errors.   psc: mean absolute correlation of the errors with the two
    axes; it changes when the map is rotated.   psc_r: multiple correlation with both, which does not.   *_p: how often
    errors that are shuffled over the clips reach as much.   None: not defined, as when all errors are equal.
    """

    ids: tuple[str, ...]
    places: NDArray[np.float64]
    errors: NDArray[np.float64]
    highest: NDArray[np.int64]
    psc: float | None
    psc_p: float | None
    psc_r: float | None
    psc_r_p: float | None


def embed(model: FusionModel, samples: Sequence[Sample], seed: int = 0) -> Embedding:
    """Map the labelled clips of ``samples`` by the model's feature "fused". Raises RecipeError where there is no map.

    seed: of the shuffles, and of t-SNE, which begins at the two main components and hardly depends on it.
    """
    from lightning_fabric import Fabric

    known = [sample for sample in samples if "M" in sample.labels]
    if len(known) < LEAST_CLIPS:
        raise RecipeError(
            f"a map with {PERPLEXITY:g} neighbours a clip needs at least {LEAST_CLIPS} labelled clips, found "
            f"{len(known)}; take another split"
        )
    said = predict(model, Table.of(known, model.dims), Fabric(accelerator="cpu", devices=1))
    if "fused" not in said.features:
        raise RecipeError(f'{type(model).__name__} has no feature "fused" to map; take another model')
    places = tsne(said.features["fused"].numpy(), seed)
    errors = np.abs(said.score.double().numpy() - np.array([sample.labels["M"] for sample in known]))
    return Embedding(
        ids=tuple(sample.id for sample in known),
        places=places,
        errors=errors,
        highest=highest_errors(errors),
        psc=psc(places, errors),
        psc_p=chance(psc, places, errors, seed),
        psc_r=multiple_correlation(places, errors),
        psc_r_p=chance(multiple_correlation, places, errors, seed),
    )


def tsne(features: ArrayLike, seed: int) -> NDArray[np.float64]:
    """A map of features: (N, d) to (N, 2), with the settings of the paper."""
    from sklearn.manifold import TSNE

    rows = np.asarray(features, np.float32)
    spread = float(np.ptp(rows, axis=0).max())
    # scikit-learn divides by the spread; where that is nothing but rounding, or no number, its tree ends the process.
    if rows.shape[1] < 2 or not max(1e-15, 1e-6 * float(np.abs(rows).max())) < spread < 1e15:
        raise RecipeError(
            "a map needs features in two columns or more that differ between clips; "
            f"found {rows.shape[1]}, and differences up to {spread:g}"
        )
    found = TSNE(
        n_components=2,
        perplexity=PERPLEXITY,
        learning_rate=200,
        early_exaggeration=12,
        max_iter=2000,
        init="pca",
        random_state=seed,
        n_jobs=1,
    ).fit_transform(rows)
    return np.asarray(found, np.float64)


def chance(
    measure: Callable[[ArrayLike, ArrayLike], float | None], places: ArrayLike, errors: ArrayLike, seed: int
) -> float | None:
    """Permutation p-value: the share of shuffles of the errors, the given order among them, that reach as much."""
    found = measure(places, errors)
    if found is None:
        return None
    random = np.random.default_rng(seed)
    shuffled = (measure(places, random.permutation(np.asarray(errors))) or 0.0 for _ in range(SHUFFLES))
    return (1 + sum(value >= found - 1e-12 for value in shuffled)) / (1 + SHUFFLES)
