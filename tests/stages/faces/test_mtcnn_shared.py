"""MTCNN over all of the real media: against facenet-pytorch box for box, and who is alone in front of a camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from msapipe.media import Decoder, MediaOptions
from msapipe.stages.faces._tracks import overlaps
from msapipe.stages.faces.mtcnn import MTCNN
from msapipe.types import Clip, Frames
from tests.outside import OUTSIDE

Picture = NDArray[np.uint8]

MEDIA = Path(__file__).resolve().parents[4] / "shared" / "media"
FILES = sorted([*MEDIA.glob("faces/*.mp4"), *MEDIA.glob("speech/*.m*"), *MEDIA.glob("images/*.jpg")])
VIDEOS = [path for path in FILES if path.suffix != ".jpg"]
ONE_FACE = [path for path in FILES if path.stem.startswith(("grid_", "retalk_", "single_face_", "silent_face_"))]


def named(path: Path) -> str:
    return path.name


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as opened:
        yield opened


def pictures(decoder: Decoder, path: Path, most: int) -> list[Picture]:
    """The first pictures, two a second, as the stage gets them: of at most the size that a pipeline allows."""
    if path.suffix == ".jpg":
        import cv2

        bgr = cv2.imread(str(path))
        assert bgr is not None
        return [np.ascontiguousarray(bgr[..., ::-1], np.uint8)]
    frames = decoder.frames(Clip(path.name, path), MediaOptions(fps=2))
    found: list[Picture] = []
    for batch in frames.batches(1):
        found.append(batch.pixels[0])
        if len(found) == most:
            break
    return found


def check_same_as_facenet(stage: MTCNN, shown: list[Picture]) -> None:
    """As many boxes in every picture, each with an intersection over union of 0.99 and more."""
    import torch
    from facenet_pytorch import MTCNN as Facenet

    got = stage.run(Frames(lambda: iter([(picture, i / 2, (i + 1) / 2) for i, picture in enumerate(shown)])))
    reference = Facenet(keep_all=True, min_face_size=20)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        wanted = [reference.detect(picture)[0] for picture in shown]
    finally:
        torch.set_num_threads(threads)
    assert got.faces_per_frame.tolist() == [0 if want is None else len(want) for want in wanted]
    for row, want in enumerate(wanted):
        if want is not None:
            shared = overlaps(got.boxes[got.row == row], np.asarray(want, np.float32))
            assert shared.max(0).min() >= 0.99
            assert shared.max(1).min() >= 0.99


@pytest.mark.skipif(not FILES, reason=f"{MEDIA} is not there: {OUTSIDE}")
@pytest.mark.parametrize("path", FILES, ids=named)
def test_exact_is_facenet_in_the_first_picture(exact: MTCNN, decoder: Decoder, path: Path) -> None:
    check_same_as_facenet(exact, pictures(decoder, path, 1))


@pytest.mark.slow
@pytest.mark.skipif(not FILES, reason=f"{MEDIA} is not there: {OUTSIDE}")
@pytest.mark.parametrize("path", VIDEOS, ids=named)
def test_exact_is_facenet_twice_a_second(exact: MTCNN, decoder: Decoder, path: Path) -> None:
    check_same_as_facenet(exact, pictures(decoder, path, 10**6))


@pytest.mark.slow
@pytest.mark.skipif(not ONE_FACE, reason=f"{MEDIA} is not there: {OUTSIDE}")
@pytest.mark.parametrize("path", ONE_FACE, ids=named)
def test_one_face_is_found_always_and_alone(mtcnn: MTCNN, decoder: Decoder, path: Path) -> None:
    found = mtcnn.run(decoder.frames(Clip(path.name, path), MediaOptions(fps=10)))
    assert np.mean(found.faces_per_frame == 1) >= 0.98
    assert set(found.track.tolist()) == {0}


def test_all_files_are_looked_at(shared: Path) -> None:
    assert len(FILES) == 18
    assert len(ONE_FACE) == 13
