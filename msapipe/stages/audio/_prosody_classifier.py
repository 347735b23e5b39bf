"""The classifier of the stage ``prosody``: a support vector machine on utterance statistics, in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

EMOTIONS = ("angry", "happy", "neutral", "sad")
PAIRS = tuple((a, b) for a in range(len(EMOTIONS)) for b in range(a + 1, len(EMOTIONS)))

_REACH = 4.0  # standard deviations to which statistics are clipped

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class VoiceClassifier:
    """Maps statistics to probabilities of EMOTIONS: one binary SVM for each of PAIRS, then a softmax layer.

    The decision value of an SVM is the sum over ``vectors`` of ``duals`` * exp(-``gamma`` * squared distance), plus
    ``intercepts``, as in sklearn's SVC with decision_function_shape "ovo" (Cortes and Vapnik, 1995). The softmax
    layer's ``weight`` and ``bias`` turn them into probabilities, as Platt (1999) did for two classes.

    mean, spread: float64 (D,), for standardisation.   vectors: float16 (V, D), standardised.   duals: float32 (6, V).
    intercepts: float64 (6,).   gamma: float64 ().   weight: float64 (4, 6).   bias: float64 (4,).
    """

    mean: Doubles
    spread: Doubles
    vectors: NDArray[np.float16]
    duals: Floats
    intercepts: Doubles
    gamma: Doubles
    weight: Doubles
    bias: Doubles

    @classmethod
    def read(cls, path: Path) -> VoiceClassifier:
        """Read a classifier written by ``save``."""
        from safetensors.numpy import load_file

        return cls(**load_file(path))

    def save(self, path: Path) -> None:
        """Write it as safetensors."""
        from safetensors.numpy import save

        path.write_bytes(save({name: np.ascontiguousarray(value) for name, value in vars(self).items()}))

    def decisions(self, statistics: Doubles) -> Doubles:
        """Decision values for statistics (n, D): (n, 6), positive for the first class of each of PAIRS."""
        rows = standardized(statistics, self.mean, self.spread).astype(np.float64)
        vectors = self.vectors.astype(np.float64)
        distance = (rows**2).sum(1)[:, None] + (vectors**2).sum(1)[None] - 2 * rows @ vectors.T
        nearness = np.exp(-self.gamma * np.maximum(distance, 0))
        return np.asarray(nearness @ self.duals.T.astype(np.float64) + self.intercepts, np.float64)

    def probabilities(self, statistics: Doubles) -> Doubles:
        """Probabilities of EMOTIONS for statistics (n, D): (n, 4)."""
        logits = self.decisions(statistics) @ self.weight.T + self.bias
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(odds / odds.sum(1, keepdims=True), np.float64)


def standardized(statistics: Doubles, mean: Doubles, spread: Doubles) -> NDArray[np.float16]:
    """Standardise, clipped to 4 standard deviations; a missing value (NaN) counts as the mean."""
    away = np.nan_to_num((statistics - mean) / spread, nan=0.0)
    return np.asarray(np.clip(away, -_REACH, _REACH), np.float16)


def valence(probabilities: Doubles) -> Doubles:
    """P(happy) - P(angry) - P(sad), in [-1, 1]: (n,)."""
    angry, happy, _, sad = probabilities.T
    return np.asarray(happy - angry - sad, np.float64)


def arousal(probabilities: Doubles) -> Doubles:
    """P(angry) + P(happy) - P(neutral) - P(sad), in [-1, 1]: (n,)."""
    angry, happy, neutral, sad = probabilities.T
    return np.asarray(angry + happy - neutral - sad, np.float64)
