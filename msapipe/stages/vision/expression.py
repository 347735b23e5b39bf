"""Reads the speaker's facial expression: probabilities of seven emotions, valence, and a 32-dimensional embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from msapipe.stages._base import Stage
from msapipe.stages._neutral import centred
from msapipe.stages.vision._expression_net import (
    EMBEDDING,
    EMOTIONS,
    NEGATIVE,
    POCKET_FACE,
    load_net,
    read_clip,
)
from msapipe.stages.vision._units import UNITS, Floats
from msapipe.types import FaceClip, FeatureSequence
from msapipe.weights import Weights

_NAMES = (*EMOTIONS, "valence", "smile", *(f"embedding_{i}" for i in range(EMBEDDING)))
_NEGATIVE = [EMOTIONS.index(name) for name in NEGATIVE]
_HAPPINESS = EMOTIONS.index("happiness")
_SMILE, _FROWN = UNITS.index(12), UNITS.index(15)  # lip corner puller and depressor

# Valence is at most this multiple of the smile: cheerful faces without a smile are artefacts of cheeks and light.
SMILES = 2.0

# Median of happiness minus the negative emotions over films of eleven people who speak neutrally: a talking mouth looks
# sad or angry to a network trained on photographs.
NEUTRAL = -0.25


@dataclass
class Expression(Stage):
    """Facial expression of the speaker, one row per sampled frame: (T, 41).

    anger, disgust, fear, happiness, neutral, sadness, surprise: probabilities that sum to 1, calibrated by one
    temperature on people outside the training set. They assume equally frequent emotions; disgust and fear are less
    reliable, since few photographs were available. The largest is the decision.
    valence: happiness - (anger + disgust + fear + sadness), centred on people who speak neutrally, and at most twice
    ``smile``: a face whose mouth does not smile is not positive. In [-1, 1], 0 is neutral.
    smile: action unit 12 minus 15 (lip corners up, down), in [-1, 1].
    embedding_0 to embedding_31: principal components of the network's last layer, largest first; without a unit.

    A row is invalid if the speaker's face was not found or is uniformly grey. Results are bit-identical however many
    other faces the clip holds. A residual network of 0.56 million parameters takes the face upright, grey, 64 pixels
    wide, and its mirror image; it was trained on 5,295 photographs, see models/pocket_face.

    He et al., "Deep Residual Learning for Image Recognition" (2016); Menon et al., "Long-tail Learning via Logit
    Adjustment" (2021).
    """

    version: ClassVar[int] = 2
    weights: ClassVar[tuple[Weights, ...]] = (POCKET_FACE,)

    def load(self, device: str) -> None:
        """Read the network, which is too small to gain from a GPU."""
        self._net: Any = load_net(POCKET_FACE.path())

    def run(self, face_clip: FaceClip) -> FeatureSequence:
        """Process every row with a face."""
        seen, values = read_clip(self._net, face_clip, len(_NAMES), self._judged)
        return FeatureSequence.masked(values, face_clip.times, seen, _NAMES)

    @staticmethod
    def _judged(chances: Floats, units: Floats, embedding: Floats) -> Floats:
        """The columns of each frame: (n, 41)."""
        emotion = chances[:, _HAPPINESS] - chances[:, _NEGATIVE].sum(1)
        smile = units[:, _SMILE] - units[:, _FROWN]
        valence = np.minimum(centred(emotion, NEUTRAL), np.maximum(SMILES * smile, -1))
        return np.concatenate([chances, valence[:, None], smile[:, None], embedding], 1)
