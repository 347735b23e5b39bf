"""Action units from msapipe's own small network, trained on MediaPipe's blendshapes; nothing to download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msapipe.stages.vision._expression_net import load_net, read_clip
from msapipe.stages.vision._units import UNITS, Floats, validity
from msapipe.types import FaceClip

# Units for which the teacher gives only zeros: cheekSquint and noseSneer of MediaPipe's published model.
UNTAUGHT = (6, 9)
TAUGHT = tuple(unit for unit in UNITS if unit not in UNTAUGHT)


class PocketUnits:
    """Measures the speaker's face with the network of ``models/pocket_face``: 15 intensities; 6 and 9 are missing."""

    validity = validity(TAUGHT, ())
    about: tuple[str, ...] = (
        "intensities were learned from MediaPipe's blendshapes (mean of left and right), not from human coders",
        "AU23_r is mouthPress, which is rather AU24",
    )

    def __init__(self, path: Path) -> None:
        self._net = load_net(path)

    def measure(self, clip: FaceClip) -> tuple[NDArray[np.bool_], Floats]:
        """Intensities in columns 0 to 16 of (T, 34); a uniformly grey row is invalid."""
        seen, units = read_clip(self._net, clip, len(UNITS), lambda _chances, units, _embedding: units)
        values = np.zeros((len(clip), 2 * len(UNITS)), np.float32)
        values[:, : len(UNITS)] = units * np.isin(UNITS, TAUGHT)
        return seen, values
