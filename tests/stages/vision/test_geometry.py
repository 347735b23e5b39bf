"""The measures of a face: known answers on landmarks and pictures made by hand, and the sample clips."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from msapipe.errors import ConfigError
from msapipe.stages.faces.mtcnn import MTCNN
from msapipe.stages.vision.geometry import Geometry, look
from msapipe.types import EncodedImages, FaceClip, FaceTracks, FeatureSequence, Frames, Speaker
from msapipe.types.faces import ALIGNED_112

cv2 = pytest.importorskip("cv2")
Points = NDArray[np.float32]

# A level face that looks at us, eye distance 40 pixels: eyes, nose, mouth corners.
LEVEL = np.array([[80, 100], [120, 100], [100, 122.84], [83.5, 146.2], [116.5, 146.2]], np.float32)


def turned(points: Points, degrees: float, scale: float = 1.0) -> Points:
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = points.mean(0)
    return np.asarray((points - middle) @ rotation.T * scale + middle, np.float32)


def moved(pixels: float) -> Points:
    return np.array([pixels, 0], np.float32)


def face_clip(landmarks: list[Points | None], pictures: list[NDArray[np.uint8]] | None = None) -> FaceClip:
    """One face (or none) in each picture, ten a second, in frames of 240 x 320; grey crops unless they are given."""
    found = [(row, points) for row, points in enumerate(landmarks) if points is not None]
    points = np.array([item[1] for item in found], np.float32).reshape(-1, 5, 2)
    middle = points.mean(1)
    boxes = np.concatenate([middle - 45, middle + 45], 1)
    squares = np.column_stack([middle - 63, np.full(len(found), 126)])
    grey = np.full((126, 126, 3), 128, np.uint8)
    shown = pictures or [grey] * len(found)
    jpeg = [cv2.imencode(".jpg", p[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes() for p in shown]
    start = np.arange(len(landmarks)) / 10
    tracks = FaceTracks(
        times=np.column_stack([start, start + 0.1]),
        frame_size=(240, 320),
        track=np.zeros(len(found), np.int64),
        row=np.array([item[0] for item in found], np.int64),
        boxes=boxes.astype(np.float32),
        landmarks=points,
        score=np.ones(len(found), np.float32),
        squares=squares.astype(np.float32),
        crops=EncodedImages.join(jpeg),
    )
    return FaceClip(tracks, Speaker(np.zeros(len(landmarks), np.int64), np.ones(len(landmarks), np.float32)))


def column(out: FeatureSequence, name: str) -> NDArray[np.float32]:
    return out.values[:, out.names.index(name)]


def measures(points: Points) -> dict[str, float]:
    out = Geometry().run(face_clip([points]))
    return dict(zip(out.names, out.values[0].tolist(), strict=True))


# --- landmarks ---------------------------------------------------------------------------------------------------


def test_a_level_face_by_hand() -> None:
    got = measures(LEVEL)
    want = {"roll": 0, "yaw": 0, "pitch": 0, "mouth_width": 33 / 40, "corner_lift": 0, "smile": 33 / 46.2}
    assert {name: round(got[name], 3) for name in want} == pytest.approx(want, abs=2e-3)
    assert got["size"] == pytest.approx(90 / 240)
    assert (got["x"], got["y"]) == pytest.approx((100 / 320, LEVEL[:, 1].mean() / 240))


@pytest.mark.parametrize("degrees", [-170, -45, 20, 90])
def test_turning_the_head_changes_roll_and_no_other_shape(degrees: float) -> None:
    smiling = LEVEL.copy()
    smiling[3:] += [[-5, -6], [5, -5]]
    straight, tilted = measures(smiling), measures(turned(smiling, degrees, scale=1.3))
    assert tilted["roll"] == pytest.approx(degrees, abs=0.01)
    for name in ("yaw", "pitch", "mouth_width", "corner_lift", "smile", "mouth_slant"):
        assert tilted[name] == pytest.approx(straight[name], abs=1e-4)


def test_raised_corners_lift_and_lowered_ones_do_not() -> None:
    up, down = LEVEL.copy(), LEVEL.copy()
    up[3:, 1] -= 4
    down[3:, 1] += 4
    assert measures(up)["corner_lift"] == pytest.approx(0.1, abs=2e-3)
    assert measures(down)["corner_lift"] == pytest.approx(-0.1, abs=2e-3)
    assert measures(up)["smile"] > measures(LEVEL)["smile"] > measures(down)["smile"]


def test_signs_of_yaw_pitch_and_slant() -> None:
    right, low, smirk = LEVEL.copy(), LEVEL.copy(), LEVEL.copy()
    right[2, 0] += 8
    low[2, 1] += 4.62
    smirk[4, 1] -= 4
    assert measures(right)["yaw"] == pytest.approx(0.2, abs=1e-3)
    assert measures(low)["pitch"] == pytest.approx(0.1, abs=2e-3)
    assert measures(smirk)["mouth_slant"] == pytest.approx(0.1, abs=1e-3)


def test_a_face_in_profile_and_nonsense_stay_finite_and_bounded() -> None:
    profile = LEVEL.copy()
    profile[:2, 0] = 100
    for points in (profile, np.full((5, 2), 7, np.float32), turned(LEVEL, 0, scale=50)):
        out = Geometry().run(face_clip([np.asarray(points, np.float32)] * 2))
        assert np.abs(out.values[:, 1:7]).max() <= 3


def test_face_motion_is_in_eye_distances_per_second() -> None:
    out = Geometry().run(face_clip([LEVEL, LEVEL + moved(4), LEVEL + moved(4)]))
    assert column(out, "face_motion").tolist() == pytest.approx([0, 4 / 40 / 0.1, 0], abs=1e-3)


def test_a_gap_or_another_place_is_no_motion() -> None:
    gap = Geometry().run(face_clip([LEVEL, None, LEVEL + moved(4)]))
    assert column(gap, "face_motion").tolist() == [0, 0, 0]
    assert gap.valid.tolist() == [True, False, True]
    assert not gap.values[1].any()
    jump = Geometry().run(face_clip([LEVEL, LEVEL + moved(150)]))
    assert column(jump, "face_motion").tolist() == [0, 0]


# --- pixels ------------------------------------------------------------------------------------------------------


def drawn(gap: int = 0, dark: int = 20, skin: int = 160) -> NDArray[np.uint8]:
    """An aligned face of one colour with a mouth open by ``gap`` pixels."""
    picture = np.full((112, 112, 3), skin, np.uint8)
    if gap:
        cv2.ellipse(picture, (56, 95), (14, gap), 0, 0, 360, (dark, dark, dark), -1)
    return picture


def test_an_opening_mouth_is_seen_in_any_light() -> None:
    names = ("mouth_opening", "mouth_shade", "mouth_contrast")
    for skin in (200, 100, 50):
        seen = np.array([look(drawn(gap, dark=skin // 8, skin=skin))[0][:3] for gap in (0, 3, 6, 9)])
        assert np.all(np.diff(seen, axis=0) > 0), (names, skin, seen)
        assert seen[0].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    bright = look(drawn(6, dark=25, skin=200))[0][:3]
    assert np.allclose(bright, look(drawn(6, dark=10, skin=80))[0][:3], atol=0.02)


def test_brightness_and_lines() -> None:
    names = ("mouth_opening", "mouth_shade", "mouth_contrast", "frown_lines", "eye_contrast")
    plain = dict(zip((*names, "brightness"), look(drawn())[0].tolist(), strict=True))
    assert plain["brightness"] == pytest.approx(160 / 255, abs=0.01)
    lined = drawn()
    lined[38:52, 54:57] = 100
    assert look(lined)[0][3] > plain["frown_lines"] + 0.1
    open_eyes = drawn()
    cv2.circle(open_eyes, (38, 52), 4, (20, 20, 20), -1)
    assert look(open_eyes)[0][4] > plain["eye_contrast"] + 0.1


def test_mouth_motion_is_change_of_light_per_second() -> None:
    inside = ALIGNED_112 + 7  # crops of 126 pixels whose landmarks are the template's
    landmarks = inside - inside.mean(0) + np.array([100, 100], np.float32)
    off = inside.mean(0) - 63  # the square is centred on the landmarks

    def crop(mouth: int) -> NDArray[np.uint8]:
        picture = np.full((126, 126, 3), 160, np.uint8)
        y, x = round(91 - off[1]), round(47 - off[0])
        picture[y : y + 24, x : x + 32] = mouth
        return picture

    out = Geometry().run(face_clip([landmarks] * 3, [crop(160), crop(80), crop(80)]))
    still, moved, after = column(out, "mouth_motion").tolist()
    assert still == 0
    assert moved == pytest.approx(0.5 / 0.1, rel=0.1)
    assert after == pytest.approx(0, abs=0.2)


def test_black_faces_one_picture_nobody_nothing() -> None:
    black = np.zeros((126, 126, 3), np.uint8)
    assert Geometry().run(face_clip([LEVEL], [black])).valid.tolist() == [True]
    nobody = Geometry().run(face_clip([None, None]))
    assert nobody.valid.tolist() == [False, False]
    assert nobody.values.shape == (2, 18)
    assert Geometry().run(face_clip([])).values.shape == (0, 18)


def test_a_box_without_area_is_no_face() -> None:
    clip = face_clip([LEVEL])
    clip.boxes[:] = 50
    assert Geometry().run(clip).valid.tolist() == [False]


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan")])
def test_impossible_parameters_are_refused(step: float) -> None:
    with pytest.raises(ConfigError, match="longest_step"):
        Geometry(longest_step=step)


# --- sample clips ------------------------------------------------------------------------------------------------


def film(path: Path, fps: float, most: int) -> list[NDArray[np.uint8]]:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        step = max(1, round(float(stream.average_rate or fps) / fps))
        kept = (f for i, f in enumerate(container.decode(stream)) if i % step == 0)
        return [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in itertools.islice(kept, most)]


def loudness(path: Path, fps: float, rows: int) -> NDArray[np.float64]:
    """Root of the mean loudness round each picture, so that it grows as a mouth opens."""
    import av

    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", 16000)
        heard = [r.to_ndarray()[0] for f in container.decode(audio=0) for r in resampler.resample(f)]
    sound = np.concatenate([np.zeros(320), *heard, np.zeros(16000)])
    spans = [sound[int(i / fps * 16000) : int((i + 1) / fps * 16000) + 640] for i in range(rows)]
    return np.array([np.sqrt(np.mean(span**2)) ** 0.5 for span in spans])


@pytest.fixture(scope="module")
def measured(samples: Path) -> dict[str, FeatureSequence]:
    """The first three seconds of two clips in which one person speaks; all pictures."""
    mtcnn = MTCNN()
    mtcnn.load("cpu")

    def measure(name: str) -> FeatureSequence:
        pictures = film(samples / f"{name}.mp4", 25, 75)
        faces = mtcnn.run(Frames(lambda: iter([(p, i / 25, (i + 1) / 25) for i, p in enumerate(pictures)])))
        speaker = Speaker(np.zeros(len(pictures), np.int64), np.ones(len(pictures), np.float32))
        return Geometry().run(FaceClip(faces, speaker))

    return {name: measure(name) for name in ("positive", "negative")}


@pytest.mark.parametrize("name", ["corner_lift", "smile", "mouth_width"])
def test_a_smiling_speaker_differs_from_a_frowning_one(measured: dict[str, FeatureSequence], name: str) -> None:
    smiles, frowns = column(measured["positive"], name), column(measured["negative"], name)
    assert np.median(smiles) > np.percentile(frowns, 95)


@pytest.mark.parametrize("name", ["positive", "negative"])
def test_the_mouth_follows_the_voice(measured: dict[str, FeatureSequence], samples: Path, name: str) -> None:
    out = measured[name]
    voice = loudness(samples / f"{name}.mp4", 25, len(out.values))
    assert np.corrcoef(column(out, "mouth_opening"), voice)[0, 1] > 0.5
    late = np.roll(column(out, "mouth_opening"), 12)
    assert np.corrcoef(late, voice)[0, 1] < 0.4
