"""Which classes a model takes for which: matrices in the classes of the field's accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from msapipe.train.metrics import SIMS_EDGES, Scheme, classes_of


@dataclass(frozen=True, eq=False)
class Confusion:
    """counts: int64 (C, C), rows are true classes, columns what was said, in the order of ``classes``."""

    classes: tuple[str, ...]
    counts: NDArray[np.int64]


def confusions(truth: ArrayLike, predicted: ArrayLike, scheme: Scheme) -> dict[str, Confusion]:
    """Matrices of labels and predictions (N,) by the accuracy whose classes they have.

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
    """Of a head of classes, by its largest logit: labels (N,), logits (N, C); a label of no class is left out."""
    true, clear = classes_of(truth, edges)
    said = np.asarray(logits).argmax(axis=1)
    size = np.asarray(logits).shape[1]
    names = {2: ("negative", "positive"), 3: ("negative", "neutral", "positive")}
    return _counted(true[clear], said[clear], names.get(size, tuple(map(str, range(size)))))


def _counted(truth: ArrayLike, said: ArrayLike, classes: tuple[str, ...]) -> Confusion:
    size = len(classes)
    cell = np.asarray(truth).astype(np.int64) * size + np.asarray(said).astype(np.int64)
    return Confusion(classes, np.bincount(cell, minlength=size * size).reshape(size, size))
