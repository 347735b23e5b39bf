"""MTCNN: against facenet-pytorch, on the sample clips, and its tracks on pictures composed here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from msapipe.errors import ConfigError, MissingLibrary
from msapipe.stages.faces.mtcnn import MTCNN
from msapipe.types import FaceTracks, Frames

Picture = NDArray[np.uint8]


def clip(pictures: list[Picture], fps: float = 10.0) -> Frames:
    return Frames(lambda: iter([(picture, i / fps, (i + 1) / fps) for i, picture in enumerate(pictures)]))


def film(path: Path, fps: float = 10.0, most: int = 10**6) -> list[Picture]:
    """Pictures of a video, about ``fps`` a second."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        step = max(1, round(float(stream.average_rate or fps) / fps))
        kept: list[Picture] = []
        for i, frame in enumerate(container.decode(stream)):
            if i % step == 0:
                kept.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
            if len(kept) == most:
                break
        return kept


def same(a: FaceTracks, b: FaceTracks) -> bool:
    names = ("times", "track", "row", "boxes", "landmarks", "score", "squares")
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in names) and np.array_equal(
        a.crops.data, b.crops.data
    )


@pytest.fixture(scope="module")
def portrait() -> Picture:
    """A face of about 90 pixels in a picture of 200 x 200."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[20:220, 120:320])  # type: ignore[no-untyped-call]


def scene(portrait: Picture, places: list[tuple[int, int]], bright_left: bool = True) -> Picture:
    """Portraits (x, y of their corner) on a 300 x 640 ramp of brightness."""
    ramp = np.linspace(230, 20, 640) if bright_left else np.linspace(20, 230, 640)
    picture = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (300, 640, 3)).astype(np.uint8))
    for x, y in places:
        picture[y : y + 200, x : x + 200] = portrait
    return picture


# --- one picture -------------------------------------------------------------------------------------------------


def check_same_as_facenet(stage: MTCNN, picture: Picture) -> int:
    from facenet_pytorch import MTCNN as Facenet

    want, _, want_points = Facenet(keep_all=True, min_face_size=20).detect(picture, landmarks=True)
    got = stage.run(clip([picture]))
    assert len(got.track) == (0 if want is None else len(want))
    for box, points in zip(want, want_points, strict=True) if want is not None else ():
        near = int(np.abs(got.boxes - box).max(1).argmin())
        assert np.abs(got.boxes[near] - box).max() < 0.05
        assert np.abs(got.landmarks[near] - points).max() < 0.5
    return len(got.track)


@pytest.mark.parametrize(("name", "faces"), [("positive", 1), ("two_faces", 2), ("no_face", 0)])
def test_exact_is_facenet_box_for_box(exact: MTCNN, samples: Path, name: str, faces: int) -> None:
    picture = film(samples / f"{name}.mp4", most=1)[0][::2, ::2]
    assert check_same_as_facenet(exact, np.ascontiguousarray(picture)) == faces


def test_exact_is_facenet_in_a_crowd(exact: MTCNN, shared: Path) -> None:
    import cv2

    bgr = cv2.imread(str(shared / "media/images/multi_face.jpg"), cv2.IMREAD_REDUCED_COLOR_4)
    assert bgr is not None
    assert check_same_as_facenet(exact, np.ascontiguousarray(bgr[..., ::-1], np.uint8)) >= 4


def test_quick_search_agrees_with_facenet(mtcnn: MTCNN, exact: MTCNN, samples: Path) -> None:
    picture = film(samples / "positive.mp4", most=1)[0]
    quick, slow = mtcnn.run(clip([picture])), exact.run(clip([picture]))
    eyes = np.linalg.norm(slow.landmarks[0, 1] - slow.landmarks[0, 0])
    assert np.linalg.norm(quick.landmarks - slow.landmarks, axis=-1).mean() < 0.05 * eyes


def test_landmarks_are_eyes_nose_mouth_viewers_left_first(mtcnn: MTCNN, portrait: Picture) -> None:
    found = mtcnn.run(clip([portrait]))
    left, right, nose, mouth_left, mouth_right = found.landmarks[0]
    # measured by hand on skimage's astronaut, minus the corner of the cut
    assert np.allclose(left, (82, 80), atol=4)
    assert np.allclose(right, (125, 82), atol=4)
    assert left[1] < nose[1] < mouth_left[1]
    assert mouth_left[0] < nose[0] < mouth_right[0]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (11, 300), (16, 8192), (19, 19), (64, 48)])
@pytest.mark.parametrize("kind", ["black", "noise"])
def test_tiny_wide_and_empty_pictures_hold_nobody(mtcnn: MTCNN, size: tuple[int, int], kind: str) -> None:
    random = np.random.default_rng(0)
    picture = np.zeros((*size, 3), np.uint8) if kind == "black" else random.integers(0, 256, (*size, 3), np.uint8)
    found = mtcnn.run(clip([picture, picture]))
    assert len(found.track) == 0
    assert found.frame_size == size
    assert found.times.shape == (2, 2)


def test_no_picture_at_all(mtcnn: MTCNN) -> None:
    found = mtcnn.run(clip([]))
    assert found.times.shape == (0, 2)
    assert found.frame_size == (0, 0)
    assert len(found.crops) == 0


# --- many pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "faces"), [("positive", 1), ("silent_face", 1), ("two_faces", 2), ("no_face", 0)])
def test_sample_clips(mtcnn: MTCNN, samples: Path, name: str, faces: int) -> None:
    found = mtcnn.run(clip(film(samples / f"{name}.mp4", most=25)))
    assert np.mean(found.faces_per_frame == faces) >= 0.98
    assert set(found.track.tolist()) == set(range(faces))


@pytest.mark.parametrize("exact", [False, True])
def test_numbers_do_not_depend_on_threads_or_on_the_run(samples: Path, exact: bool) -> None:
    import torch

    pictures = film(samples / "two_faces.mp4", most=2 if exact else 8)
    before, meanwhile = torch.get_num_threads(), set()

    def read() -> Iterator[tuple[Picture, float, float]]:
        for i, picture in enumerate(pictures):
            meanwhile.add(torch.get_num_threads())
            yield picture, i / 10, (i + 1) / 10

    made = []
    try:
        for threads in (1, 3, 3):
            torch.set_num_threads(threads)
            stage = MTCNN(exact=exact)
            stage.load("cpu")
            made.append(stage.run(Frames(read)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert meanwhile == ({1} if exact else {1, 3})  # torch is only asked by exact
    assert same(made[0], made[1])
    assert same(made[1], made[2])


def test_pictures_do_not_know_what_follows(mtcnn: MTCNN, samples: Path) -> None:
    pictures = film(samples / "positive.mp4", most=9)
    short, long = mtcnn.run(clip(pictures[:6])), mtcnn.run(clip(pictures))
    assert np.array_equal(short.landmarks, long.landmarks[:6])


def test_a_cut_makes_a_new_person_where_the_old_one_was(mtcnn: MTCNN, portrait: Picture) -> None:
    before, after = scene(portrait, [(50, 40)]), scene(portrait, [(50, 40)], bright_left=False)
    found = mtcnn.run(clip([before] * 3 + [after] * 3))
    assert found.track.tolist() == [0, 0, 0, 1, 1, 1]


def test_who_is_hidden_for_a_moment_is_the_same_person_and_later_a_new_one(mtcnn: MTCNN, portrait: Picture) -> None:
    there, gone = scene(portrait, [(50, 40)]), scene(portrait, [])
    found = mtcnn.run(clip([there] * 3 + [gone] * 3 + [there] * 3))
    assert found.track.tolist() == [0] * 6
    assert found.row.tolist() == [0, 1, 2, 6, 7, 8]
    found = mtcnn.run(clip([there] * 3 + [gone] * 8 + [there] * 8))
    assert found.track.tolist()[:3] == [0, 0, 0]
    assert set(found.track.tolist()[3:]) == {1}
    assert 11 <= found.row[3] <= 15, "who comes into an empty scene is found within the key interval"


def test_who_joins_is_found_within_the_key_interval(mtcnn: MTCNN, portrait: Picture) -> None:
    one, two = scene(portrait, [(30, 40)]), scene(portrait, [(30, 40), (400, 40)])
    found = mtcnn.run(clip([one] * 2 + [two] * 9))
    assert found.faces_per_frame.tolist()[:2] == [1, 1]
    assert found.faces_per_frame.tolist()[5:] == [2] * 6
    assert found.row[found.track == 1].min() <= 5


def test_persons_keep_their_numbers_when_they_move(mtcnn: MTCNN, portrait: Picture) -> None:
    pictures = [scene(portrait, [(20 + 8 * i, 40), (420 - 8 * i, 60)]) for i in range(8)]
    found = mtcnn.run(clip(pictures))
    x = (found.boxes[:, 0] + found.boxes[:, 2]) / 2
    for person in (0, 1):
        steps = np.diff(x[found.track == person])
        assert len(steps) == 7
        assert np.allclose(np.abs(steps), 8, atol=5)
    assert np.all(np.diff(found.track.reshape(-1, 2), axis=1) == 1)


def test_one_picture_a_second_is_still_one_person(mtcnn: MTCNN, portrait: Picture) -> None:
    pictures = [scene(portrait, [(50 + 10 * i, 40)]) for i in range(4)]
    assert mtcnn.run(clip(pictures, fps=1)).track.tolist() == [0] * 4


def test_who_leaps_beside_one_who_stays_is_found_at_once_without_a_search(mtcnn: MTCNN, portrait: Picture) -> None:
    before, after = scene(portrait, [(10, 40), (300, 0)]), scene(portrait, [(10, 40), (410, 40)])
    found = mtcnn.run(clip([before, before, after, after], fps=20))
    assert found.faces_per_frame.tolist() == [2] * 4
    assert found.track.tolist() == [0, 1] * 4 or found.track.tolist() == [1, 0] * 4


@pytest.mark.parametrize(("side", "latest"), [(80, 0.5), (30, 2.0)])
def test_who_comes_beside_one_who_is_followed_is_found_in_time(
    mtcnn: MTCNN, portrait: Picture, side: int, latest: float
) -> None:
    """The face of the portrait is a little less than half as wide."""
    import cv2

    alone = scene(portrait, [(10, 40)])
    both = alone.copy()
    both[100 : 100 + 2 * side, 400 : 400 + 2 * side] = cv2.resize(
        portrait, (2 * side, 2 * side), interpolation=cv2.INTER_AREA
    )
    found = mtcnn.run(clip([alone] + [both] * 24))
    first = int(np.argmax(found.faces_per_frame == 2))
    assert 0 < first <= latest * 10
    assert set(found.faces_per_frame[first:].tolist()) == {2}


# --- parameters and machine --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_score": 1.5},
        {"min_face": -0.1},
        {"thresholds": (0.6, 0.7)},
        {"thresholds": (0.6, 0.7, 7)},
        {"scale_factor": 1.0},
        {"min_overlap": float("nan")},
        {"bridge": -1},
        {"key_every": float("inf")},
    ],
)
def test_impossible_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MTCNN(**wrong)


def test_a_list_from_a_pipeline_is_the_same_as_a_tuple() -> None:
    assert MTCNN(thresholds=[0.6, 0.7, 0.7]).params() == MTCNN().params()  # type: ignore[arg-type]


def test_a_missing_shared_library_is_said_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingLibrary, match="apt-get install libgl1"):
        MTCNN().load("cpu")


def test_import_is_cheap() -> None:
    code = (
        "import sys, msapipe.stages.faces.mtcnn, msapipe.stages.speaker.largest, msapipe.stages.vision.geometry;"
        "print([m for m in ('torch', 'torchvision', 'cv2', 'facenet_pytorch') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


# --- real media --------------------------------------------------------------------------------------------------


@pytest.fixture
def one_face_clips(shared: Path) -> Iterator[Path]:
    return iter([shared / "media/speech/grid_brbk7n.mpg", shared / "media/speech/retalk_3.mp4"])


def test_one_talking_head_is_found_always_and_alone(mtcnn: MTCNN, one_face_clips: Iterator[Path]) -> None:
    for path in one_face_clips:
        found = mtcnn.run(clip(film(path, most=20)))
        assert np.mean(found.faces_per_frame == 1) >= 0.98, path.name
        assert set(found.track.tolist()) == {0}


def test_a_crowd_is_two_to_six_people(mtcnn: MTCNN, shared: Path) -> None:
    found = mtcnn.run(clip(film(shared / "media/faces/crowd_1080p_facenet.mp4", most=12)))
    assert found.faces_per_frame.min() >= 2
    assert found.faces_per_frame.max() <= 7
    walker = found.boxes[found.row == 0][:, 0].argmin()  # crosses the picture, a face's width every tenth of a second
    assert (found.track == found.track[walker]).sum() >= 6


def test_nobody_in_a_clip_without_a_face(mtcnn: MTCNN, shared: Path) -> None:
    assert len(mtcnn.run(clip(film(shared / "media/edge/no_face_pyfeat.mp4", most=20))).track) == 0


@pytest.mark.gpu
def test_a_gpu_finds_the_same(mtcnn: MTCNN, samples: Path) -> None:
    pictures = film(samples / "two_faces.mp4", most=6)
    stage = MTCNN()
    stage.load("cuda:0")
    here, there = mtcnn.run(clip(pictures)), stage.run(clip(pictures))
    assert np.array_equal(here.track, there.track)
    assert np.abs(here.landmarks - there.landmarks).max() < 0.5
