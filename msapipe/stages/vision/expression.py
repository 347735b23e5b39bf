"""Reads the speaker's facial expression: probabilities of seven emotions, valence, and 32 numbers of a small net."""

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
_SMILE, _FROWN = UNITS.index(12), UNITS.index(15)  # corners of the lips pulled up, and down

# A face is called positive up to so many times its smile: a cheerful face without one is a trick of cheeks and light.
SMILES = 2.0

# The median, over films of eleven people who talk and mean nothing by it, of happiness less the negative emotions:
# a mouth that talks looks sad or angry to a net that learned from photographs.
NEUTRAL = -0.25


@dataclass
class Expression(Stage):
    """Facial expression of the speaker, one row per sampled picture: (T, 41).

    anger, disgust, fear, happiness, neutral, sadness, surprise: probabilities, their sum is 1, calibrated by one
    temperature on people who were not trained on. They hold where the emotions are equally frequent, disgust and fear,
    of which few photographs were known, less so; the largest is the decision.
    valence: happiness - (anger + disgust + fear + sadness), centred on people who talk neutrally, and no more than
    twice ``smile``: a face whose mouth does not smile is not positive. In [-1, 1], 0 is neutral.
    smile: smile against frown, action unit 12 less 15 (corners of the lips up, down), in [-1, 1].
    embedding_0 to embedding_31: principal components of the net's last layer, the largest first; without a unit.

    A row is invalid where the speaker's face was not found, or is one even grey. The same face gives the same numbers,
    bit for bit, however many others the clip holds. A residual net of 0.56 million parameters sees the face upright,
    grey, 64 pixels wide, with its mirror image; it was trained on 5,295 photographs, models/pocket_face says how.

    He et al., "Deep Residual Learning for Image Recognition" (2016); Menon et al., "Long-tail Learning via Logit
    Adjustment" (2021).
    """

    version: ClassVar[int] = 2
    weights: ClassVar[tuple[Weights, ...]] = (POCKET_FACE,)

    def load(self, device: str) -> None:
        """Read the net, which is too small to gain from a GPU."""
        self._net: Any = load_net(POCKET_FACE.path())

    def run(self, face_clip: FaceClip) -> FeatureSequence:
        """Read every row that has a face."""
        seen, values = read_clip(self._net, face_clip, len(_NAMES), self._judged)
        return FeatureSequence.masked(values, face_clip.times, seen, _NAMES)

    @staticmethod
    def _judged(chances: Floats, units: Floats, embedding: Floats) -> Floats:
        """The columns of each picture: (n, 41)."""
        emotion = chances[:, _HAPPINESS] - chances[:, _NEGATIVE].sum(1)
        smile = units[:, _SMILE] - units[:, _FROWN]
        valence = np.minimum(centred(emotion, NEUTRAL), np.maximum(SMILES * smile, -1))
        return np.concatenate([chances, valence[:, None], smile[:, None], embedding], 1)
