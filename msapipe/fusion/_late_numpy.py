"""Late fusion in numpy, for scoring: importing torch takes longer than all of pocket's work on a clip.

Equal to ``late`` in eval mode, which is used for training; a test compares both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from msapipe.fusion._scores import LIMIT, Doubles, Scores
from msapipe.types import FeatureSequence

Floats = NDArray[np.float32]

# Bounds of logarithms: of a head's trust, and of the positive values of the covariance.
SUREST = 6.0
LARGEST = 6.0

# Share of the scale on which the score is linear; larger values are compressed towards the limit, which no score
# reaches.
STRAIGHT = 0.8

# The version of ``Late`` whose parameters it reads.
VERSION = 3


class Scorer:
    """A trained ``Late``, by parameter name; dims, limit, calibrated: as in ``Late``.

    Raises ValueError for unexpected parameters or shapes.
    """

    by_video = False

    def __init__(
        self,
        numbers: Mapping[str, NDArray[np.float32]],
        dims: Mapping[str, int],
        limit: float = 3.0,
        calibrated: Sequence[str] = (),
    ) -> None:
        _check(numbers, dims)
        if not limit > 0 or any(name not in dims for name in calibrated):
            raise ValueError(f"found limit {limit} and calibrated {', '.join(calibrated)}")
        self._numbers, self._dims, self._limit = numbers, dims, limit
        self._calibrated = np.array([name in calibrated for name in dims])
        root = numbers["root"].astype(np.float64)
        positive = np.eye(len(root), dtype=bool)
        positive[:, 0] = True
        factor = np.where(positive, np.exp(root.clip(-LARGEST, LARGEST)), np.tril(root, -1))
        self._covariance = factor @ factor.T

    def __call__(self, clips: Sequence[Mapping[str, FeatureSequence]], without: str | None = None) -> Scores:
        """Score, interval, and score from each modality alone."""
        said, trust, there = self._observed(clips, without)
        mean, covariance = self._numbers["mean"].astype(np.float64), self._covariance
        slope = covariance[0, 1:] / covariance.diagonal()[1:] * trust / (1 + trust)
        seen = np.where(self._calibrated, (said - mean[0]) / slope, said - mean[1:]) * there
        weight, variance = _conditioned(covariance, trust, there)
        score = self._limited(mean[0] + (weight * seen).sum(1))
        half = float(self._numbers["reach"]) * np.sqrt(variance)
        alone = self._limited(mean[0] + slope * seen)
        return Scores(
            score,
            np.stack([score - half, score + half], 1).clip(-self._limit, self._limit),
            {name: alone[:, i] for i, name in enumerate(self._dims)},
        )

    def _observed(
        self, clips: Sequence[Mapping[str, FeatureSequence]], without: str | None
    ) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
        """Outputs of the heads, their signal-to-noise variance ratios, and which are present: (clips, modalities)."""
        said = np.zeros((len(clips), len(self._dims)))
        trust, there = said.copy(), np.zeros(said.shape, bool)
        for i, (name, width) in enumerate(self._dims.items()):
            center, std, weight, bias, more = (
                self._numbers[f"heads.{name}.{part}"]
                for part in ("center", "std", "linear.weight", "linear.bias", "trust.weight")
            )
            for row, clip in enumerate(clips):
                values = clip[name].values[clip[name].valid] if name in clip and name != without else None
                pooled = _pooled(values, width)
                scaled = ((pooled - center) / std).clip(-LIMIT, LIMIT)
                said[row, i] = scaled @ weight[0] + bias[0]
                trust[row, i] = self._numbers["log_trust"][i] + scaled @ more[0]
                there[row, i] = values is not None and len(values) > 0
        return said, np.exp(trust.clip(-SUREST, SUREST)), there

    def _limited(self, value: Doubles) -> Doubles:
        straight = STRAIGHT * self._limit
        beyond, rest = (np.abs(value) - straight).clip(0), self._limit - straight
        return np.asarray(value.clip(-straight, straight) + np.sign(value) * rest * np.tanh(beyond / rest))


def _check(numbers: Mapping[str, NDArray[np.float32]], dims: Mapping[str, int]) -> None:
    """Raise ValueError unless the parameters are those of a model with inputs ``dims``."""
    size = 1 + len(dims)
    wanted: dict[str, tuple[int, ...]] = {"log_trust": (len(dims),), "mean": (size,), "root": (size, size), "reach": ()}
    for name, width in dims.items():
        columns = 2 * width + 1
        shapes = {"center": (columns,), "std": (columns,), "linear.weight": (1, columns), "linear.bias": (1,)}
        wanted |= {f"heads.{name}.{part}": shape for part, shape in shapes.items()}
        wanted[f"heads.{name}.trust.weight"] = (1, columns)
    found = {name: value.shape for name, value in numbers.items()}
    if odd := sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)):
        raise ValueError(f"{odd[0]} has the shape {found.get(odd[0])}, expected {wanted.get(odd[0])}")


def _pooled(values: Floats | None, width: int) -> Floats:
    """Mean, standard deviation over time, and log(1 + valid steps), of the valid rows (T, D): (2 D + 1,)."""
    if values is None or not len(values):
        return np.zeros(2 * width + 1, np.float32)
    return np.concatenate([values.mean(0), values.std(0), [np.log1p(len(values))]]).astype(np.float32)


def _conditioned(covariance: Doubles, trust: Doubles, there: NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    """Weights of the observations in E[M | observations], and the conditional variance of M: see ``late``."""
    scale = np.sqrt(trust / covariance.diagonal()[1:]) * there
    inner = scale[:, :, None] * covariance[1:, 1:] * scale[:, None] + np.eye(trust.shape[1])
    with_m = scale * covariance[0, 1:]
    solved = np.linalg.solve(inner, with_m[:, :, None])[:, :, 0]
    return scale * solved, covariance[0, 0] - (with_m * solved).sum(1)
