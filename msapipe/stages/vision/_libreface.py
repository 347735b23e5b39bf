"""LibreFace's combined network: a ResNet-18 with heads for intensities (DISFA) and presences (BP4D).

Chang et al., "LibreFace: An Open-Source Toolkit for Deep Facial Expression Analysis" (WACV 2024).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import WeightsError
from msapipe.stages.vision._crops import cut_out
from msapipe.stages.vision._resnet18 import Body
from msapipe.stages.vision._units import UNITS, Floats, validity
from msapipe.types import FaceClip
from msapipe.weights.torch_file import load_tensors

# The outputs of the two heads; 24 (lips pressed) is none of OpenFace's.
RATED = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
DETECTED = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)

# The aligned face is 256 pixels wide; its middle is what the net sees.
WIDE, SEEN = 256, 224


class LibreFace:
    """Measures the speaker's face with LibreFace's network: 12 intensities, 11 presences."""

    validity = validity(RATED, DETECTED)
    about: tuple[str, ...] = ()

    def __init__(self, path: Path, device: str, dtype: str = "float32") -> None:
        """``dtype``: what the body computes in; the heads, a thousandth of the work, are of float32."""
        net = read_net(path)
        self._body = Body(net["encoder"], device, dtype)
        self._heads: Any = [net[name].to(device) for name in ("classifier", "classifier_2")]

    def measure(self, clip: FaceClip) -> tuple[NDArray[np.bool_], Floats]:
        """Columns (T, 34) of every row that holds a face."""
        values = np.zeros((len(clip), 2 * len(UNITS)), np.float32)
        for rows, pictures in cut_out(clip, partial(aligned, clip), self._body.many):
            intensity, presence = self.scores(pictures)
            for output, unit in enumerate(RATED):
                values[rows, UNITS.index(unit)] = intensity[:, output]
            for output, unit in enumerate(DETECTED):
                if unit in UNITS:
                    values[rows, len(UNITS) + UNITS.index(unit)] = presence[:, output] >= 0.5
        return clip.valid, values

    def scores(self, pictures: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Intensities of ``RATED``, probabilities of ``DETECTED``: (n, 12) each in [0, 1].

        pictures: (n, 224, 224, 3) RGB, at most as many as the body sees at a time.
        """
        import torch

        # One by one: in a product of matrices a row may be rounded otherwise than by itself.
        rows = self._body(pictures).split(1)
        with torch.inference_mode():
            intensity, presence = (torch.cat([head(row) for row in rows]).cpu().numpy() for head in self._heads)
        return intensity, presence


def aligned(clip: FaceClip, row: int) -> NDArray[np.uint8]:
    """LibreFace's training crop of a row with a face: uint8 (224, 224, 3) RGB.

    A square aligned with the face, centred a tenth of the way from the eyes to the mouth; its side is twice the larger
    of 2 eye distances and 1.8 eye-mouth distances; cropped to its central 224/256. LibreFace takes eyes and mouth from
    a face mesh, this code from the five landmarks; outside the stored square the crop is black.
    """
    import cv2

    picture = clip.square(row)
    matrix = alignment(clip.landmarks_in_square(row, picture.shape[0]))
    return np.asarray(cv2.warpAffine(picture, matrix, (SEEN, SEEN), flags=cv2.INTER_LINEAR), np.uint8)


def alignment(landmarks: Floats) -> NDArray[np.float64]:
    """The matrix (2, 3) that maps an image with these landmarks (5, 2) to LibreFace's crop."""
    left, right, _, *corners = landmarks.astype(np.float64)
    eyes, across = (left + right) / 2, right - left
    down = np.mean(corners, axis=0) - eyes
    axis = across + np.array([down[1], -down[0]])
    length = float(np.hypot(*axis))
    axis = axis / length if length > 0 else np.array([1.0, 0.0])
    reach = max(2.0 * float(np.hypot(*across)), 1.8 * float(np.hypot(*down)), 1.0)
    scale = WIDE / 2 / reach
    turn = scale * np.array([axis, [-axis[1], axis[0]]])
    middle = np.full(2, SEEN / 2 - 0.5)
    return np.hstack([turn, (middle - turn @ (eyes + 0.1 * down))[:, None]])


def net() -> Any:
    """The network without weights; its parameter names are those of LibreFace's files."""
    from torch import nn
    from torchvision.models import resnet18

    def head(outputs: int) -> nn.Sequential:
        hidden = (nn.Linear(512, 128), nn.ReLU(), nn.BatchNorm1d(128), nn.Dropout(0.1))
        return nn.Sequential(*hidden, nn.Linear(128, outputs), nn.Sigmoid())

    return nn.ModuleDict(
        {
            "encoder": nn.Sequential(*list(resnet18(weights=None).children())[:-1]),
            "classifier": head(len(RATED)),
            "classifier_2": head(len(DETECTED)),
        }
    )


def read_net(path: Path) -> Any:
    """The network with the weights of a file: LibreFace's (torch, key ``model``), or safetensors with the same names.

    Raises WeightsError for any other file.
    """
    import torch

    with torch.device("meta"):  # no random numbers are drawn that are overwritten
        empty = net()
    # Copied, not kept where the file has them: products may be rounded otherwise at other places in memory.
    empty = empty.to_empty(device="cpu")
    try:
        empty.load_state_dict(_read(path), strict=True)
    except Exception as error:  # whatever a file holds that is something else
        raise WeightsError(
            f"{path} is no combined ResNet of LibreFace, a file that holds encoder.*, classifier.*, classifier_2.* "
            f"under the key model: {' '.join(str(error).split())[:300]}"
        ) from error
    return empty.eval().requires_grad_(False)


def _read(path: Path) -> Any:
    whole = load_tensors(path)
    if path.suffix == ".safetensors":
        return whole
    if not isinstance(whole, dict) or "model" not in whole:
        raise ValueError(f"it holds {', '.join(map(str, whole)) if isinstance(whole, dict) else type(whole).__name__}")
    return whole["model"]
