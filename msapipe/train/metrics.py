"""The field's metrics for sentiment regression, in its two conventions, computed over a whole split.

CMU-MOSI and MOSEI count classes by rounding (half to even); CH-SIMS clips to [-1, 1] and bins with right-closed edges
in float32, where 0 counts as negative. Binary accuracy is therefore always named by its convention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from msapipe.errors import ConfigError

Scheme = Literal["mosi", "sims"]
Scores = dict[str, float | None]

# Right-closed edges of CH-SIMS (Yu et al., 2020), as float32 because 0.1 is not the same number in float64.
SIMS_EDGES = {"acc3": (-0.1, 0.1), "acc5": (-0.7, -0.1, 0.1, 0.7)}
_WEAK = 0.4


def scheme_of(scale: tuple[float, float]) -> Scheme:
    """The convention of a label scale: CH-SIMS's for [-1, 1], MOSI's for anything wider."""
    return "sims" if max(abs(scale[0]), abs(scale[1])) <= 1 else "mosi"


def score(truth: ArrayLike, predicted: ArrayLike, scheme: Scheme) -> Scores:
    """All metrics of predictions (N,) against labels (N,); an undefined metric is None, never 0.

    mosi: acc2_has0 (negative against not negative), f1_has0, acc2_non0 (clips labelled 0 left out), f1_non0, acc3,
    acc5, acc7, mae, corr.   sims: acc2, f1, acc3, acc5, acc2_weak (labels within 0.4 of 0), n_weak, mae, corr, all
    after clipping to [-1, 1].   F1 is weighted by class support. Raises ConfigError for lengths that differ, no
    clips, or values that are not finite.
    """
    y, p = np.asarray(truth, np.float32).ravel(), np.asarray(predicted, np.float32).ravel()
    if len(y) != len(p) or not len(y):
        raise ConfigError(f"metrics need as many predictions as labels, and at least one: {len(p)} and {len(y)}")
    if not (np.isfinite(y).all() and np.isfinite(p).all()):
        raise ConfigError("metrics need finite labels and predictions")
    return _mosi(y, p) if scheme == "mosi" else _sims(y, p)


def class_scores(truth: ArrayLike, logits: ArrayLike, edges: Sequence[float]) -> Scores:
    """Accuracy and F1 of a classification head by its largest logit, (N, C), against labels (N,).

    Labels fall into the C classes between ``edges``, right-closed, in float32; the class between two edges of 0 holds
    only 0, and with the single edge 0 a label of 0 has no class and is left out. class_acc; class_f1_macro, the mean
    over the classes of labels or predictions; class_f1_weighted, by class support. None if no label has a class.
    """
    from sklearn.metrics import f1_score

    of_labels, clear = classes_of(truth, edges)
    true, said = of_labels[clear], np.asarray(logits).argmax(axis=1)[clear]
    scores: Scores = {"class_acc": _accuracy(true, said)}
    for average in ("macro", "weighted"):
        value = float(f1_score(true, said, average=average, zero_division=0)) if len(true) else None
        scores[f"class_f1_{average}"] = value
    return scores


def classes_of(truth: ArrayLike, edges: Sequence[float]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The class of each label (N,), and the mask of labels that have one; see ``class_scores``."""
    y = np.asarray(truth, np.float32).ravel()
    clear = y != 0 if len(edges) == 1 else np.ones(len(y), bool)
    signs = len(edges) == 2 and edges[0] == edges[1]
    found = np.sign(y) + 1 if signs else np.digitize(y, np.array(edges, np.float32), right=True)
    return found.astype(np.int64), clear


def _mosi(y: NDArray[np.float32], p: NDArray[np.float32]) -> Scores:
    clear = y != 0
    found: Scores = {
        "acc2_has0": _accuracy(y >= 0, p >= 0),
        "f1_has0": _weighted_f1(y >= 0, p >= 0),
        "acc2_non0": _accuracy(y[clear] > 0, p[clear] > 0),
        "f1_non0": _weighted_f1(y[clear] > 0, p[clear] > 0),
    }
    for classes, bound in ((3, 1), (5, 2), (7, 3)):
        found[f"acc{classes}"] = _accuracy(np.round(y.clip(-bound, bound)), np.round(p.clip(-bound, bound)))
    return {**found, "mae": float(np.abs(y - p).mean()), "corr": pearson(y, p)}


def _sims(y: NDArray[np.float32], p: NDArray[np.float32]) -> Scores:
    y, p = y.clip(-1, 1), p.clip(-1, 1)
    weak = np.abs(y) <= np.float32(_WEAK)
    found: Scores = {"acc2": _accuracy(y > 0, p > 0), "f1": _weighted_f1(y > 0, p > 0)}
    for name, edges in SIMS_EDGES.items():
        exact = np.array(edges, np.float32)
        found[name] = _accuracy(np.digitize(y, exact, right=True), np.digitize(p, exact, right=True))
    found |= {"acc2_weak": _accuracy(y[weak] > 0, p[weak] > 0), "n_weak": float(weak.sum())}
    return {**found, "mae": float(np.abs(y - p).mean()), "corr": pearson(y, p)}


def _accuracy(y: NDArray[np.generic], p: NDArray[np.generic]) -> float | None:
    return float((y == p).mean()) if len(y) else None


def _weighted_f1(y: NDArray[np.bool_], p: NDArray[np.bool_]) -> float | None:
    from sklearn.metrics import f1_score

    return float(f1_score(y, p, average="weighted", zero_division=0)) if len(y) else None


def pearson(a: ArrayLike, b: ArrayLike) -> float | None:
    """Pearson's correlation; None if one side is constant or has fewer than two values."""
    x, y = (np.asarray(side, np.float64) for side in (a, b))
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum() / size) if len(x) > 1 and size > 1e-12 else None


def psc(coordinates: ArrayLike, errors: ArrayLike) -> float | None:
    """Prediction-space correlation of AGFN (Wu et al.): how strongly errors follow a 2-D map of the fused features.

    coordinates: (N, 2).   errors: (N,), |label - prediction|. Mean of the absolute correlations with both axes, in
    [0, 1]. It depends on the map's rotation, which is arbitrary: see ``multiple_correlation``.
    """
    places = np.asarray(coordinates, np.float64)
    both = [pearson(places[:, axis], errors) for axis in (0, 1)]
    return None if None in both else float(np.mean([abs(part or 0.0) for part in both]))


def multiple_correlation(coordinates: ArrayLike, errors: ArrayLike) -> float | None:
    """R of the errors on both axes together, in [0, 1]; a rotation of the map does not change it."""
    places = np.asarray(coordinates, np.float64)
    design = np.column_stack([places, np.ones(len(places))])
    fitted = design @ np.linalg.lstsq(design, np.asarray(errors, np.float64), rcond=None)[0]
    return pearson(fitted, errors)


def highest_errors(errors: ArrayLike, share: float = 0.1) -> NDArray[np.int64]:
    """Indices of the largest ``share`` of the errors, at least one, ties by index; in order of index."""
    values = np.asarray(errors, np.float64)
    count = max(1, int(np.ceil(share * len(values))))
    return np.sort(np.lexsort((np.arange(len(values)), -values))[:count])


def mean_and_deviation(runs: list[Scores]) -> dict[str, tuple[float, float] | None]:
    """Over seeds: metric to mean and sample standard deviation (0 for one run); None if a run lacks the metric."""
    out: dict[str, tuple[float, float] | None] = {}
    for name in runs[0]:
        values = [run.get(name) for run in runs]
        known = [value for value in values if value is not None]
        deviation = float(np.std(known, ddof=1)) if len(known) > 1 else 0.0
        out[name] = (float(np.mean(known)), deviation) if len(known) == len(runs) else None
    return out


@dataclass(frozen=True, eq=False)
class Confusion:
    """counts: int64 (C, C), rows are true classes, columns predicted ones, in the order of ``classes``."""

    classes: tuple[str, ...]
    counts: NDArray[np.int64]


def confusions(truth: ArrayLike, predicted: ArrayLike, scheme: Scheme) -> dict[str, Confusion]:
    """Confusion matrices of labels and predictions (N,), by the accuracy with the same classes.

    mosi: acc2_has0 (negative, not negative) and acc7 (-3 to 3).   sims: acc2, acc3 and acc5.
    """
    y, p = np.asarray(truth, np.float32).ravel(), np.asarray(predicted, np.float32).ravel()
    if scheme == "mosi":
        sides = ("negative", "not negative")
        seven = tuple(f"{number:+d}" if number else "0" for number in range(-3, 4))
        return {
            "acc2_has0": _counted(y >= 0, p >= 0, sides),
            "acc7": _counted(np.round(y.clip(-3, 3)) + 3, np.round(p.clip(-3, 3)) + 3, seven),
        }
    y, p = y.clip(-1, 1), p.clip(-1, 1)
    names = {
        "acc3": ("negative", "neutral", "positive"),
        "acc5": ("negative", "weakly negative", "neutral", "weakly positive", "positive"),
    }
    found = {"acc2": _counted(y > 0, p > 0, ("not positive", "positive"))}
    for name, edges in SIMS_EDGES.items():
        exact = np.array(edges, np.float32)
        found[name] = _counted(np.digitize(y, exact, right=True), np.digitize(p, exact, right=True), names[name])
    return found


def of_classes(truth: ArrayLike, logits: ArrayLike, edges: Sequence[float]) -> Confusion:
    """The matrix of a classification head by its largest logit: labels (N,), logits (N, C); drops unclassed labels."""
    true, clear = classes_of(truth, edges)
    said = np.asarray(logits).argmax(axis=1)
    size = np.asarray(logits).shape[1]
    names = {2: ("negative", "positive"), 3: ("negative", "neutral", "positive")}
    return _counted(true[clear], said[clear], names.get(size, tuple(map(str, range(size)))))


def _counted(truth: ArrayLike, said: ArrayLike, classes: tuple[str, ...]) -> Confusion:
    size = len(classes)
    cell = np.asarray(truth).astype(np.int64) * size + np.asarray(said).astype(np.int64)
    return Confusion(classes, np.bincount(cell, minlength=size * size).reshape(size, size))
