"""Blendshapes of MediaPipe's FaceLandmarker, and the table that maps them to action units."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MissingLibrary, WeightsError
from msapipe.stages.vision._crops import crops
from msapipe.stages.vision._units import DERIVED, UNITS, Floats
from msapipe.types import FaceClip

# Side of the loose crop in pixels; the face detector's input is 128, that of the mesh 256.
SIZE = 256

# A unit's intensity is the mean of these blendshapes.
TABLE: dict[int, tuple[str, ...]] = {
    1: ("browInnerUp",),
    2: ("browOuterUpLeft", "browOuterUpRight"),
    4: ("browDownLeft", "browDownRight"),
    5: ("eyeWideLeft", "eyeWideRight"),
    6: ("cheekSquintLeft", "cheekSquintRight"),
    7: ("eyeSquintLeft", "eyeSquintRight"),
    9: ("noseSneerLeft", "noseSneerRight"),
    10: ("mouthUpperUpLeft", "mouthUpperUpRight"),
    12: ("mouthSmileLeft", "mouthSmileRight"),
    14: ("mouthDimpleLeft", "mouthDimpleRight"),
    15: ("mouthFrownLeft", "mouthFrownRight"),
    17: ("mouthShrugLower",),
    20: ("mouthStretchLeft", "mouthStretchRight"),
    23: ("mouthPressLeft", "mouthPressRight"),
    25: ("mouthLowerDownLeft", "mouthLowerDownRight"),
    26: ("jawOpen",),
    45: ("eyeBlinkLeft", "eyeBlinkRight"),
}


class MediaPipe:
    """Measures the speaker's face with MediaPipe: 17 intensities, all derived."""

    validity = np.full(2 * len(UNITS), DERIVED, np.float32)
    about: tuple[str, ...] = (
        "intensities are MediaPipe's blendshapes (mean of left and right), not grades by human coders",
        "AU23_r is mouthPress, which is rather AU24",
    )

    def __init__(self, path: Path) -> None:
        try:
            import mediapipe
        except ImportError as error:
            raise MissingLibrary(
                f"action_units with backend: mediapipe needs MediaPipe, which cannot be loaded ({error}); "
                'type: uv pip install "msapipe[mediapipe]"'
            ) from error
        self._library = mediapipe
        vision = mediapipe.tasks.vision
        # Image mode: in video mode, a row would depend on earlier ones.
        options = vision.FaceLandmarkerOptions(
            base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(path)),
            running_mode=vision.RunningMode.IMAGE,
            num_faces=1,
            output_face_blendshapes=True,
        )
        self._create = lambda: vision.FaceLandmarker.create_from_options(options)
        try:
            with self.opened():
                pass
        except (OSError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{path} is no model of MediaPipe's FaceLandmarker (.task): {error}") from error

    def measure(self, clip: FaceClip) -> tuple[NDArray[np.bool_], Floats]:
        """Intensities in columns 0 to 16 of (T, 34); a row in which MediaPipe finds no face is invalid."""
        valid = np.zeros(len(clip), np.bool_)
        values = np.zeros((len(clip), 2 * len(UNITS)), np.float32)
        with self.opened() as blendshapes:
            for rows, pictures in crops(clip, "loose", SIZE):
                for row, picture in zip(rows.tolist(), pictures, strict=True):
                    found = blendshapes(picture)
                    if found:
                        values[row, : len(UNITS)], valid[row] = intensities(found), True
        return valid, values

    @contextmanager
    def opened(self) -> Iterator[Callable[[NDArray[np.uint8]], list[Any]]]:
        """A function from an image, uint8 (H, W, 3) RGB, to the 52 categories of its face, or [] without a face.

        Opening takes 0.1 s. It is closed explicitly: at the end of the process, its destructor would fail with a
        traceback.
        """

        def blendshapes(picture: NDArray[np.uint8]) -> list[Any]:
            image = self._library.Image(image_format=self._library.ImageFormat.SRGB, data=picture)
            found = landmarker.detect(image).face_blendshapes
            return list(found[0]) if found else []

        with quiet():
            landmarker = self._create()  # type: ignore[no-untyped-call, unused-ignore]
        try:
            with quiet():  # its threads log until the first result
                blendshapes(np.zeros((SIZE, SIZE, 3), np.uint8))
            yield blendshapes
        finally:
            landmarker.close()


@contextmanager
def quiet() -> Iterator[None]:
    """Discard writes to file descriptor 2: MediaPipe's C++ code logs there and has no switch to stop it."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # a service without a terminal
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def intensities(blendshapes: list[Any]) -> Floats:
    """The 17 units of MediaPipe's list of categories (category_name, score): float32 (17,) in [0, 1].

    Raises WeightsError if a blendshape of the table is missing.
    """
    scores = {shape.category_name: float(shape.score) for shape in blendshapes}
    missing = sorted({name for names in TABLE.values() for name in names} - set(scores))
    if missing:
        raise WeightsError(f"the model of MediaPipe gives no {', '.join(missing[:3])}; expected its 52 blendshapes")
    means = {unit: float(np.mean([scores[name] for name in names])) for unit, names in TABLE.items()}
    means[25] = max(means[25], means[26])  # an open jaw parts the lips
    return np.clip(np.array([means[unit] for unit in UNITS], np.float32), 0, 1)
