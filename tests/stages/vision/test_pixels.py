from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from msapipe.errors import ConfigError
from msapipe.stages.vision.pixels import Pixels
from msapipe.testing import fakes
from msapipe.types import EncodedImages, FaceClip, FeatureSequence, Speaker

cv2 = pytest.importorskip("cv2")


def face_clip(pictures: NDArray[np.uint8], seen: list[bool]) -> FaceClip:
    """These pictures (T, S, S, 3), without loss, ten a second; the speaker in those that are seen."""
    crops = EncodedImages.join([cv2.imencode(".png", picture[..., ::-1])[1].tobytes() for picture in pictures])
    speaker = Speaker(np.where(seen, 0, -1), np.ones(len(seen), np.float32))
    return FaceClip(replace(fakes.face_tracks(len(seen)), crops=crops), speaker)


def noise(count: int, size: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (count, size, size, 3), np.uint8)


def rows(clip: FaceClip, **params: float) -> FeatureSequence:
    stage = Pixels(**params)  # type: ignore[arg-type]
    stage.load("cpu")
    return stage.run(clip)


def test_a_row_is_the_crop_colour_by_colour_line_by_line() -> None:
    pictures = noise(3)
    out = rows(face_clip(pictures, [True, False, True]), size=32)
    assert out.values.shape == (3, 3 * 32 * 32)
    assert out.valid.tolist() == [True, False, True]
    assert np.allclose(out.values[0], pictures[0].transpose(2, 0, 1).ravel() / 255, atol=1e-7)
    assert not out.values[1].any()
    column = out.names.index("green_34")
    assert out.values[2, column] == pytest.approx(pictures[2, 1, 2, 1] / 255)
    assert np.allclose(out.times, [[0, 0.1], [0.1, 0.2], [0.2, 0.3]])


def test_crops_are_resized_as_for_video_swin() -> None:
    clip = face_clip(noise(2, 48), [True, True])
    out = rows(clip)
    assert out.values.shape == (2, 3 * 112 * 112)
    assert np.allclose(out.values[1].reshape(3, 112, 112).transpose(1, 2, 0) * 255, clip.loose(1, 112), atol=1e-4)


def test_a_faster_clip_is_thinned() -> None:
    pictures = noise(6)
    out = rows(face_clip(pictures, [True] * 6), size=32, fps=5)
    assert np.allclose(out.values[1], pictures[2].transpose(2, 0, 1).ravel() / 255, atol=1e-7)
    assert np.allclose(out.times, [[0, 0.2], [0.2, 0.4], [0.4, 0.6]])


def test_nobody_and_nothing() -> None:
    nobody = rows(fakes.face_clip(4, seen=False), size=32)
    assert (nobody.values.shape, nobody.valid.any()) == ((4, 3 * 32 * 32), False)
    assert rows(fakes.face_clip(0, seen=False), size=32).values.shape == (0, 3 * 32 * 32)


@pytest.mark.parametrize("params", [{"size": 31}, {"size": 513}, {"fps": 0.0}, {"fps": float("inf")}])
def test_bad_parameters_are_refused(params: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"pixels: {next(iter(params))}"):
        Pixels(**params)  # type: ignore[arg-type]
