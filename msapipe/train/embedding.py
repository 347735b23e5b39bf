"""Do a model's errors cluster in its fusion space? A t-SNE map, and how strongly errors correlate with it.

PSC is that of AGFN (Wu et al.); t-SNE is van der Maaten and Hinton's (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from msapipe.errors import ConfigError
from msapipe.fusion._base import FusionModel
from msapipe.registry import did_you_mean
from msapipe.train.evaluate import predict_samples
from msapipe.train.metrics import highest_errors, multiple_correlation, psc
from msapipe.types import Sample

PERPLEXITY = 30.0
# A map of fewer clips shows nothing; below 3 * PERPLEXITY clips, the perplexity is a third of the others.
LEAST_CLIPS = 10
# Clusters for a model without its own: one per sign of the label.
CLUSTERS = 2
SHUFFLES = 1000


@dataclass(frozen=True, eq=False)
class Embedding:
    """A map of clips.

    places: (N, 2); the axes and the rotation are arbitrary.   labels: (N,).   clusters: int64 (N,), the model's own, or
    k-means on the feature.   perplexity: neighbours per clip.   errors: (N,), |label - prediction|.
    highest: indices of the tenth with the largest errors.   psc: mean absolute correlation of the errors with the two
    axes, which changes when the map is rotated.   psc_r: multiple correlation with both, which does not.   *_p: share
    of random permutations of the errors that reach the same value.   None: undefined, as when all errors are equal.
    """

    ids: tuple[str, ...]
    places: NDArray[np.float64]
    labels: NDArray[np.float64]
    clusters: NDArray[np.int64]
    perplexity: float
    errors: NDArray[np.float64]
    highest: NDArray[np.int64]
    psc: float | None
    psc_p: float | None
    psc_r: float | None
    psc_r_p: float | None


def embed(model: FusionModel, samples: Sequence[Sample], seed: int = 0, feature: str = "fused") -> Embedding:
    """Map the labelled clips of ``samples`` by a feature of the model. Raises ConfigError if no map can be made.

    seed: of the permutations, and of t-SNE, which starts from two principal components and hardly depends on it.
    """
    known = [sample for sample in samples if "M" in sample.labels]
    if len(known) < LEAST_CLIPS:
        raise ConfigError(f"a map needs at least {LEAST_CLIPS} labelled clips, found {len(known)}; take another split")
    said = predict_samples(model, known)
    if feature not in said.features:
        there = f"{type(model).__name__} has no feature {feature!r} to map"
        raise ConfigError(f"{there}{did_you_mean(feature, said.features)}")
    rows = said.features[feature].numpy()
    perplexity = min(PERPLEXITY, (len(known) - 1) / 3)
    places = tsne(rows, seed, perplexity)
    labels = np.array([sample.labels["M"] for sample in known])
    errors = np.abs(said.score.double().numpy() - labels)
    own = said.diagnostics.get("clusters")
    return Embedding(
        ids=tuple(sample.id for sample in known),
        places=places,
        labels=labels,
        clusters=own.argmax(dim=1).numpy() if own is not None else _clustered(rows, seed),
        perplexity=perplexity,
        errors=errors,
        highest=highest_errors(errors),
        psc=psc(places, errors),
        psc_p=chance(psc, places, errors, seed),
        psc_r=multiple_correlation(places, errors),
        psc_r_p=chance(multiple_correlation, places, errors, seed),
    )


def _clustered(rows: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(CLUSTERS, n_init=20, random_state=seed).fit_predict(rows), np.int64)


def tsne(features: ArrayLike, seed: int, perplexity: float = PERPLEXITY) -> NDArray[np.float64]:
    """A map of features: (N, d) to (N, 2), with the paper's settings; lower perplexity for few clips."""
    from sklearn.manifold import TSNE

    rows = np.asarray(features, np.float32)
    width = float(np.ptp(rows, axis=0).max())
    # scikit-learn divides by the range; if it is only rounding error or not finite, its tree crashes the process.
    if rows.shape[1] < 2 or not max(1e-15, 1e-6 * float(np.abs(rows).max())) < width < 1e15:
        raise ConfigError(
            "a map needs features in two columns or more that differ between clips; "
            f"found {rows.shape[1]}, and differences up to {width:g}"
        )
    found = TSNE(
        n_components=2,
        perplexity=perplexity,
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
    """Permutation p-value: the share of permutations of the errors, the given one included, that reach as much."""
    found = measure(places, errors)
    if found is None:
        return None
    random = np.random.default_rng(seed)
    shuffled = (measure(places, random.permutation(np.asarray(errors))) or 0.0 for _ in range(SHUFFLES))
    return (1 + sum(value >= found - 1e-12 for value in shuffled)) / (1 + SHUFFLES)
