"""Reads the speaker's facial expression: probabilities of seven emotions, valence, and 32 numbers of a small net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MissingLibrary
from msapipe.stages._base import Stage
from msapipe.stages.vision._expression_net import (
    EMBEDDING,
    EMOTIONS,
    NEGATIVE,
    SIDE,
    load_net,
    normalised,
    picture,
    pooled,
)
from msapipe.types import FaceClip, FeatureSequence
from msapipe.weights import Bundled, Weights

if TYPE_CHECKING:
    import torch

SHA256 = "30f5898053e618ab9edd4bf66d4a1d75d2a9830bb97e7796d114202a6e05dbd0"
BYTES = 1129390

# Pictures at a time, always as many, black ones added to the last: of other numbers of pictures a convolution is
# computed in another order, so that a face would move in its last digits with how many others the clip holds.
COUNT = 4

# Standard deviation in grey levels below which nothing is to be read; the dullest of 6,190 photographs has 15.
LEAST_CONTRAST = 3.0

_NAMES = (*EMOTIONS, "valence", *(f"embedding_{i}" for i in range(EMBEDDING)))
_NEGATIVE = [EMOTIONS.index(name) for name in NEGATIVE]
_HAPPINESS = EMOTIONS.index("happiness")


@dataclass
class Expression(Stage):
    """Facial expression of the speaker, one row per sampled picture: (T, 40).

    anger, disgust, fear, happiness, neutral, sadness, surprise: probabilities, their sum is 1, calibrated by one
    temperature on people who were not trained on. They hold where the emotions are equally frequent, disgust and fear,
    of which few photographs were known, less so; the largest is the decision.
    valence: happiness - (anger + disgust + fear + sadness), in [-1, 1]; surprise and neutral count for nothing.
    embedding_0 to embedding_31: principal components of the net's last layer, the largest first; without a unit.

    A row is invalid where the speaker's face was not found, or is one even grey. The same face gives the same numbers,
    bit for bit, however many others the clip holds. A residual net of 0.56 million parameters sees the face upright,
    grey, 64 pixels wide, with its mirror image; it was trained on 5,295 photographs, models/pocket_face says how.

    He et al., "Deep Residual Learning for Image Recognition" (2016); Menon et al., "Long-tail Learning via Logit
    Adjustment" (2021).
    """

    version: ClassVar[int] = 1
    weights: ClassVar[tuple[Weights, ...]] = (
        Bundled(
            name="pocket_face",
            file="model.safetensors",
            sha256=SHA256,
            bytes=BYTES,
            licence="Apache-2.0",
            source="models/pocket_face/train.py",
        ),
    )

    def load(self, device: str) -> None:
        """Import what is needed and read the net, which is too small to gain from a GPU."""
        try:
            import cv2  # noqa: F401 - FaceClip imports it when a crop is asked for
        except ImportError as error:
            raise MissingLibrary(
                f"expression needs OpenCV, which cannot be loaded ({error}); "
                "type: apt-get install libgl1 libglib2.0-0, or: uv pip install opencv-python-headless"
            ) from error
        self._net: Any = load_net(self.own_weights()[0].path())

    def run(self, face_clip: FaceClip) -> FeatureSequence:
        """Read every row that has a face."""
        import torch

        values = np.zeros((len(face_clip), len(_NAMES)), np.float32)
        seen = face_clip.valid.copy()
        rows = np.flatnonzero(seen)
        with torch.inference_mode():
            for first in range(0, len(rows), COUNT):
                some = rows[first : first + COUNT]
                pictures = np.zeros((COUNT, SIDE, SIDE), np.uint8)
                pictures[: len(some)] = [picture(face_clip, int(row)) for row in some]
                seen[some] = pictures[: len(some)].std((1, 2)) >= LEAST_CONTRAST
                values[some] = self._read(torch.from_numpy(normalised(pictures)))[: len(some)]
        return FeatureSequence.masked(values, face_clip.times, seen, _NAMES)

    def _read(self, pictures: torch.Tensor) -> NDArray[np.float32]:
        """The columns of each picture: (n, 40)."""
        vectors = pooled(self._net, pictures)
        chances = self._net.head(vectors).softmax(1).numpy()
        valence = chances[:, [_HAPPINESS]] - chances[:, _NEGATIVE].sum(1, keepdims=True)
        return np.concatenate([chances, valence, self._net.embedding(vectors).numpy()], 1)
