"""Who speaks: what the network gets to see, how a person is chosen, and real clips with the published weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from msapipe.errors import ConfigError
from msapipe.media import Decoder, MediaOptions
from msapipe.stages import STAGES
from msapipe.stages.faces._crops import cut_out, loose_square
from msapipe.stages.speaker._asd_input import pictures, pieces
from msapipe.stages.speaker.active import Active
from msapipe.types import Clip, EncodedImages, FaceTracks, Speaker, Waveform

FRAME = (240, 320)  # height, width


def frame(number: int = 0) -> np.ndarray:
    """A picture with structure at every scale that JPEG keeps."""
    noise = np.random.default_rng(number).integers(0, 255, (60, 80, 3), np.uint8)
    return np.asarray(cv2.resize(noise, FRAME[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def tracks(
    seen: Sequence[Sequence[Sequence[float] | None]], fps: float = 25.0, show: Callable[[int], np.ndarray] = frame
) -> FaceTracks:
    """One list per person: his box in each picture, or None."""
    rows = len(seen[0])
    found = [(row, person, box) for row in range(rows) for person in range(len(seen)) if (box := seen[person][row])]
    boxes = np.array([box for _, _, box in found], np.float32).reshape(-1, 4)
    squares = [loose_square(box) for box in boxes]
    crops = [cut_out(cv2, show(row), square) for (row, _, _), square in zip(found, squares, strict=True)]
    start = np.arange(rows) / fps
    return FaceTracks(
        times=np.column_stack([start, start + 1 / fps]),
        frame_size=FRAME,
        track=np.array([person for _, person, _ in found], np.int64),
        row=np.array([row for row, _, _ in found], np.int64),
        boxes=boxes,
        landmarks=np.zeros((len(found), 5, 2), np.float32),
        score=np.ones(len(found), np.float32),
        squares=np.array(squares, np.float32).reshape(-1, 3),
        crops=EncodedImages.join(crops),
    )


def flat(row: int) -> np.ndarray:
    return np.full((*FRAME, 3), row, np.uint8)


LEFT, RIGHT = (40.0, 80.0, 100.0, 150.0), (180.0, 80.0, 240.0, 150.0)
SOUND = Waveform(np.random.default_rng(0).uniform(-0.5, 0.5, 16000 * 3).astype(np.float32), 16000)


def asd_crop(picture: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """The picture that the authors' programs cut out of a whole frame: float (112, 112)."""
    half = max(box[2] - box[0], box[3] - box[1]) / 2
    pad = int(half * 1.8)
    padded = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), constant_values=110)
    y, x = (box[1] + box[3]) / 2 + pad, (box[0] + box[2]) / 2 + pad
    face = padded[int(y - half) : int(y + half * 1.8), int(x - half * 1.4) : int(x + half * 1.4)]
    grey = cv2.cvtColor(cv2.resize(face, (224, 224)), cv2.COLOR_RGB2GRAY)
    return grey[56:168, 56:168].astype(float)


@pytest.mark.parametrize(
    "box", [(100, 90, 160, 170), (2, 150, 82, 230), (250, 5, 318, 75), (100.0, 60.0, 270.0, 230.0)]
)
def test_the_crop_is_that_of_the_authors(box: tuple[float, ...]) -> None:
    faces = tracks([[box] * 3], show=lambda row: frame())
    (piece,) = pieces(faces)
    ours = pictures(faces, piece, 0, 3)
    assert ours.shape == (3, 112, 112)
    assert ours.dtype == np.uint8
    expected = asd_crop(frame(), box)
    error = np.abs(ours[1] - expected).mean()
    assert error < 6  # JPEG, and the authors cut at whole pixels
    assert error < 0.3 * np.abs(np.roll(ours[1], 4, 1) - expected).mean()


def test_beyond_the_frame_it_is_grey() -> None:
    faces = tracks([[(-30.0, 150.0, 50.0, 238.0)] * 2], show=flat)
    (piece,) = pieces(faces)
    (picture, _) = pictures(faces, piece, 0, 2)
    assert picture[:20, -20:].max() <= 2
    assert np.all(picture[-1] == 110)


def test_place_and_size_are_filtered() -> None:
    jump = [LEFT] * 10 + [tuple(side + 8 for side in LEFT)] + [LEFT] * 10
    (piece,) = pieces(tracks([jump]))
    assert np.allclose(piece.squares, [70 - 0.7 * 35, 115 - 0.3 * 35, 1.4 * 35])


def test_every_25th_of_a_second_has_the_nearest_picture() -> None:
    (piece,) = pieces(tracks([[LEFT] * 6], fps=10))
    assert piece.first == 0
    assert piece.shown.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5]
    (piece,) = pieces(tracks([[LEFT] * 13], fps=50))
    assert piece.shown.tolist() == [0, 2, 4, 6, 8, 10, 12]


def test_long_absence_splits_and_short_absence_is_bridged() -> None:
    seen = [None] * 5 + [LEFT] * 10 + [None] * 6 + [LEFT] * 10 + [None] * 20 + [LEFT] * 10
    (first, second) = pieces(tracks([seen], show=flat))
    assert (first.first, len(first), len(first.found)) == (5, 26, 20)
    assert (second.first, len(second)) == (51, 10)
    assert first.shown.tolist() == [*range(10), 9, 9, 9, 10, 10, 10, *range(10, 20)]


class Bright:
    """Stands for a network: a bright face speaks, a dark one does not; -8...8."""

    def scores(self, sound: np.ndarray, seen: np.ndarray, windows: Sequence[int]) -> np.ndarray:
        assert sound.shape == (4 * len(seen), 13)
        return np.asarray(seen.mean((1, 2)) / 10 - 8, np.float32)


def scored(
    people: Sequence[Sequence[float | None]], fps: float = 25.0, sound: Waveform = SOUND, **params: Any
) -> Speaker:
    """What is chosen when each person has this score (-8...8) in each picture, or is not there (None)."""

    def show(row: int) -> np.ndarray:
        picture = np.zeros((*FRAME, 3), np.uint8)
        for person, box in zip(people, (LEFT, RIGHT)[: len(people)], strict=True):
            x1, y1, x2, y2 = (int(side) for side in box)
            score = person[row]
            picture[y1 - 15 : y2 + 15, x1 - 20 : x2 + 20] = round(((score or 0) + 8) * 10)
        return picture

    places = (LEFT, RIGHT)[: len(people)]
    seen = [[None if x is None else box for x in person] for person, box in zip(people, places, strict=True)]
    stage = Active(**params)
    stage._network = Bright()  # type: ignore[assignment]
    return stage.run(tracks(seen, fps, show), sound)


def test_the_highest_score_above_0_speaks() -> None:
    spoken = scored([[-3.0] * 20, [4.0] * 20])
    assert spoken.track.tolist() == [1] * 20
    assert np.allclose(spoken.score, 4, atol=0.3)
    assert np.allclose(spoken.face_score.reshape(20, 2), [-3, 4], atol=0.3)
    assert not spoken.uncertain.any()
    assert spoken.notes == ()


def test_two_who_speak_at_once_are_uncertain() -> None:
    spoken = scored([[4.0] * 30, [-4.0] * 10 + [3.0] * 10 + [-4.0] * 10])
    assert spoken.track.tolist()[:8] == [0] * 8
    assert spoken.track.tolist()[-8:] == [0] * 8
    assert spoken.track[12:18].tolist() == [-1] * 6
    assert np.array_equal(spoken.uncertain, spoken.track == -1)
    assert any("two faces seem to speak at once for 0." in note for note in spoken.notes)
    assert scored([[6.0] * 20, [1.0] * 20]).track.tolist() == [0] * 20
    assert scored([[6.0] * 20, [1.0] * 20], margin=6).uncertain.all()


def test_single_pictures_do_not_flip_the_choice() -> None:
    flicker = [4.0, 4.0, 4.0, 4.0, -2.0] * 6
    other = [-4.0, -4.0, -4.0, -4.0, 3.0] * 6
    assert scored([flicker, other]).track.tolist() == [0] * 30


def test_a_pause_belongs_to_who_spoke_before_or_speaks_next() -> None:
    a = [-5.0] * 10 + [5.0] * 20 + [-5.0] * 30
    b = [-5.0] * 40 + [5.0] * 20
    spoken = scored([a, b]).track.tolist()
    assert spoken == [0] * spoken.index(1) + [1] * (60 - spoken.index(1))
    assert spoken.index(1) in range(38, 43)
    silent = scored([a, b], hold=False).track.tolist()
    assert silent[:7] == [-1] * 7
    assert silent[33:37] == [-1] * 4


def test_who_left_is_not_held() -> None:
    a = [5.0] * 20 + [None] * 20
    b = [-5.0] * 40
    assert scored([a, b]).track.tolist() == [0] * 20 + [-1] * 20


@pytest.mark.parametrize(("otherwise", "chosen"), [("nobody", -1), ("largest", 0)])
def test_nobody_speaks(otherwise: Any, chosen: int) -> None:
    spoken = scored([[-4.0] * 10, [-5.0] * 10], otherwise=otherwise)
    assert spoken.track.tolist() == [chosen] * 10
    assert np.allclose(spoken.score, -4, atol=0.3)
    assert any("nobody in sight speaks" in note for note in spoken.notes)


def test_few_pictures_a_second_are_noted() -> None:
    assert any("fps: 25" in note for note in scored([[4.0] * 20], fps=10).notes)
    assert not scored([[4.0] * 40], fps=24).notes


def test_a_face_of_one_picture_and_a_sound_that_is_too_short() -> None:
    short = replace(SOUND, samples=SOUND.samples[:800])
    assert scored([[5.0]], sound=short).face_score.tolist() == [0.0]
    assert scored([[5.0]], sound=short).track.tolist() == [-1]
    assert scored([[5.0] * 20], sound=short).track.tolist() == [0] * 20


@pytest.mark.parametrize("samples", [0, 8000])
def test_silence_is_noted(samples: int) -> None:
    spoken = scored([[-5.0] * 20], sound=Waveform(np.zeros(samples, np.float32), 16000))
    assert spoken.track.tolist() == [-1] * 20
    assert any("silent" in note for note in spoken.notes)


def test_no_faces() -> None:
    spoken = scored([[None] * 4])
    assert spoken.track.tolist() == [-1] * 4
    assert spoken.face_score.shape == (0,)
    assert spoken.notes == ()
    assert len(scored([[]]).track) == 0


@pytest.mark.parametrize("wrong", [{"windows": ()}, {"windows": (0,)}, {"smooth": -1}, {"margin": float("nan")}])
def test_impossible_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Active(**wrong)


def test_sound_of_another_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="rate: 16000"):
        scored([[5.0] * 9], sound=Waveform(SOUND.samples, 8000))


def seen_and_heard(path: Path) -> tuple[FaceTracks, Waveform]:
    """Faces and sound as a pipeline with 25 pictures a second has them."""
    detector = STAGES["faces"].get("mtcnn")()
    detector.load("cpu")
    with Decoder() as decoder:
        clip, options = Clip(path.stem, path), MediaOptions(fps=25)
        return detector.run(decoder.frames(clip, options)), decoder.waveform(clip, options)


@pytest.fixture(scope="module")
def ava(shared: Path) -> Active:
    stage = Active(checkpoint=str(shared / "weights" / "lr_asd" / "pretrain_AVA.model"))
    stage.load("cpu")
    return stage


def test_a_talking_head(ava: Active, shared: Path) -> None:
    faces, sound = seen_and_heard(shared / "media" / "speech" / "grid_swwp2s.mpg")
    lines = (shared / "media" / "speech" / "grid_swwp2s.align").read_text().split("\n")
    words = [(int(a) / 25000, int(b) / 25000) for a, b, word in map(str.split, filter(None, lines)) if word != "sil"]
    speech = (faces.times[:, 0] >= words[0][0]) & (faces.times[:, 1] <= words[-1][1])
    spoken = ava.run(faces, sound)
    assert (spoken.face_score[speech] > 0).mean() >= 0.85
    assert (spoken.face_score[~speech] > 0).mean() <= 0.25  # lips move before the voice: the words end sharper
    assert spoken.track.tolist() == [0] * len(faces.times)
    mute = ava.run(faces, replace(sound, samples=np.zeros_like(sound.samples)))
    assert spoken.face_score.mean() - mute.face_score.mean() >= 2.5
    late = ava.run(faces, replace(sound, samples=np.roll(sound.samples, 16000)))
    assert late.face_score.mean() < spoken.face_score.mean()
    frozen = replace(
        faces, crops=EncodedImages.join([bytes(faces.crops.data[: faces.crops.offsets[1]])] * len(faces.row))
    )
    still = ava.run(replace(frozen, squares=np.repeat(faces.squares[:1], len(faces.row), 0)), sound)
    assert (still.face_score[speech] < 0).mean() >= 0.9


def test_two_faces_of_which_the_left_one_speaks(ava: Active, samples: Path) -> None:
    faces, sound = seen_and_heard(samples / "two_faces.mp4")
    left = int(faces.track[np.argmin(faces.boxes[:, 0])])
    spoken = ava.run(faces, sound)
    loud = [np.abs(sound.samples[int(a * 16000) : int(b * 16000)]).max(initial=0) > 0.05 for a, b in faces.times]
    assert (spoken.track[np.array(loud)] == left).mean() >= 0.95
