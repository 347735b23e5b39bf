"""Action units by our own small net, which learned them from MediaPipe's blendshapes; nothing to download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msapipe.stages.vision._expression_net import load_net, read_clip
from msapipe.stages.vision._units import UNITS, Floats, validity
from msapipe.types import FaceClip

# Units of which the teacher has no more than zeros to say: cheekSquint and noseSneer of MediaPipe's published model.
UNTAUGHT = (6, 9)
TAUGHT = tuple(unit for unit in UNITS if unit not in UNTAUGHT)


class PocketUnits:
    """Reads the speaker's face with the net of ``models/pocket_face``: 15 intensities; 6 and 9 are lacking."""

    validity = validity(TAUGHT, ())
    about: tuple[str, ...] = (
        "intensities were learned from MediaPipe's blendshapes (mean of left and right), not from human coders",
        "AU23_r is mouthPress, which is rather AU24",
    )

    def __init__(self, path: Path) -> None:
        self._net = load_net(path)

    def measure(self, clip: FaceClip) -> tuple[NDArray[np.bool_], Floats]:
        """Intensities in columns 0 to 16 of (T, 34); a row that is one even grey is not valid."""
        seen, units = read_clip(self._net, clip, len(UNITS), lambda _chances, units, _embedding: units)
        values = np.zeros((len(clip), 2 * len(UNITS)), np.float32)
        values[:, : len(UNITS)] = units * np.isin(UNITS, TAUGHT)
        return seen, values
