"""The table of blendshapes, MediaPipe behind a stand-in for its library, and the library on its published model."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from msapipe.cache import Store
from msapipe.errors import MissingLibrary, WeightsError
from msapipe.pipeline.run import Options, Runner
from msapipe.pipeline.spec import parse_spec
from msapipe.stages.vision._mediapipe import intensities
from msapipe.stages.vision.action_units import MEDIAPIPE, ActionUnits
from msapipe.testing import fakes
from msapipe.types import Clip

UNITS = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45]

# The 52 names that MediaPipe 1.2 gives, in its order.
NAMES = [
    "_neutral",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeLookDownLeft",
    "eyeLookDownRight",
    "eyeLookInLeft",
    "eyeLookInRight",
    "eyeLookOutLeft",
    "eyeLookOutRight",
    "eyeLookUpLeft",
    "eyeLookUpRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "eyeWideLeft",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthFunnel",
    "mouthLeft",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "noseSneerLeft",
    "noseSneerRight",
]


@dataclass
class Category:
    category_name: str
    score: float


def blendshapes(**scores: float) -> list[Category]:
    assert set(scores) <= set(NAMES)
    return [Category(name, scores.get(name, 0.0)) for name in NAMES]


def units(**scores: float) -> dict[int, float]:
    found = intensities(blendshapes(**scores)).tolist()
    return {unit: round(value, 6) for unit, value in zip(UNITS, found, strict=True) if value}


def test_the_table_by_hand() -> None:
    assert len(NAMES) == 52
    assert units() == {}
    assert units(browInnerUp=0.4) == {1: 0.4}
    assert units(browOuterUpLeft=0.2, browOuterUpRight=0.6) == {2: 0.4}
    assert units(browDownLeft=1) == {4: 0.5}
    assert units(eyeWideLeft=0.2, eyeWideRight=0.2, cheekSquintLeft=0.4) == {5: 0.2, 6: 0.2}
    assert units(eyeSquintRight=0.4, noseSneerLeft=0.6, mouthUpperUpLeft=0.8) == {7: 0.2, 9: 0.3, 10: 0.4}
    assert units(mouthSmileLeft=0.9, mouthSmileRight=0.7, mouthDimpleLeft=0.2) == {12: 0.8, 14: 0.1}
    assert units(mouthFrownLeft=0.2, mouthShrugLower=0.3, mouthStretchLeft=0.4) == {15: 0.1, 17: 0.3, 20: 0.2}
    assert units(mouthPressLeft=0.4, eyeBlinkLeft=1, eyeBlinkRight=1) == {23: 0.2, 45: 1}
    assert units(jawOpen=0.5) == {25: 0.5, 26: 0.5}
    assert units(jawOpen=0.1, mouthLowerDownLeft=0.6, mouthLowerDownRight=0.2) == {25: 0.4, 26: 0.1}


def test_other_blendshapes_are_an_error() -> None:
    with pytest.raises(WeightsError, match="gives no jawOpen"):
        intensities([shape for shape in blendshapes() if shape.category_name != "jawOpen"])


class Landmarker:
    """Sees a smile as strong as the first pixel; no face where that is black, nor in the fourth picture."""

    def __init__(self, options: Any) -> None:
        self.options = options
        self.pictures: list[NDArray[np.uint8]] = []

    @classmethod
    def create_from_options(cls, options: Any) -> Landmarker:
        if Path(options.base_options.model_asset_path).read_bytes() != b"a model":
            raise RuntimeError("Unable to open zip archive.")
        cls.last = cls(options)
        return cls.last

    last: Landmarker
    closed = False

    def detect(self, image: Any) -> Any:
        self.pictures.append(image.data)
        smile = float(image.data[0, 0].mean()) / 255
        seen = smile > 0 and len(self.pictures) != 4
        return SimpleNamespace(
            face_blendshapes=[blendshapes(mouthSmileLeft=smile, mouthSmileRight=smile)] if seen else []
        )

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file that the stand-in of the library takes for a model."""
    library: Any = SimpleNamespace(
        Image=lambda image_format, data: SimpleNamespace(image_format=image_format, data=data),
        ImageFormat=SimpleNamespace(SRGB="SRGB"),
        tasks=SimpleNamespace(
            BaseOptions=lambda model_asset_path: SimpleNamespace(model_asset_path=model_asset_path),
            vision=SimpleNamespace(
                FaceLandmarker=Landmarker,
                FaceLandmarkerOptions=lambda **options: SimpleNamespace(**options),
                RunningMode=SimpleNamespace(IMAGE="IMAGE", VIDEO="VIDEO"),
            ),
        ),
    )
    monkeypatch.setitem(sys.modules, "mediapipe", library)
    path = tmp_path / "face_landmarker.task"
    path.write_bytes(b"a model")
    return str(path)


def test_rows_without_a_face_for_mediapipe_are_invalid(model: str) -> None:
    stage = ActionUnits(backend="mediapipe", checkpoint=model, presence=0.1)
    stage.load("cpu")
    out = stage.run(fakes.face_clip(5))
    smile = out.values[:, out.names.index("AU12_r")]
    assert out.valid.tolist() == [True, True, False, True, True]
    assert smile[out.valid].tolist() == pytest.approx([40 / 255] * 4, abs=0.02)  # the grey that faces are drawn on
    assert out.values[:, out.names.index("AU12_c")].tolist() == [1, 1, 0, 1, 1]
    assert np.count_nonzero(out.values) == 8
    assert any("rather AU24" in note for note in out.notes)
    pictures, options = Landmarker.last.pictures, Landmarker.last.options
    assert {(picture.shape, picture.dtype.name) for picture in pictures} == {((256, 256, 3), "uint8")}
    assert (options.running_mode, options.num_faces, options.output_face_blendshapes) == ("IMAGE", 1, True)
    assert Landmarker.last.closed


def test_everything_is_derived(model: str) -> None:
    stage = ActionUnits(backend="mediapipe", checkpoint=model, validity=True)
    stage.load("cpu")
    assert set(stage.run(fakes.face_clip(1)).values[0, 34:].tolist()) == {0.5}
    assert stage.run(fakes.face_clip(0)).values.shape == (0, 68)
    assert not stage.run(fakes.face_clip(4, seen=False)).values.any()


def test_another_file_is_no_model(model: str) -> None:
    Path(model).write_bytes(b"something else")
    with pytest.raises(WeightsError, match="no model of MediaPipe's FaceLandmarker"):
        ActionUnits(backend="mediapipe", checkpoint=model).load("cpu")


def test_a_missing_library_says_what_to_type(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(MissingLibrary, match=r'uv pip install "msapipe\[mediapipe\]"'):
        ActionUnits(backend="mediapipe", checkpoint=model).load("cpu")


# --- the library and its model themselves ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def landmarker(shared: Path) -> str:
    """The published model, whose hash is the stage's."""
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed")
    path = shared / "weights" / "mediapipe" / MEDIAPIPE.file
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == MEDIAPIPE.sha256
    return str(path)


@pytest.fixture(scope="module")
def measured(landmarker: str, samples: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Mean intensities of a clip by name: {"AU12_r": ...}."""
    spec = parse_spec(PIPELINE.format(checkpoint=landmarker), "mediapipe")
    places = {"grid": shared / "media" / "speech" / "grid_bbaf2n.mpg", "talk": shared / "media" / "speech/retalk_1.mp4"}
    with Runner(spec, Store(tmp_path_factory.mktemp("units")), Options("cpu", offline=True)) as runner:

        def of(name: str) -> dict[str, float]:
            path = places.get(name, samples / f"{name}.mp4")
            if not path.is_file():
                pytest.skip(f"{path} is not there")
            found = runner.run(Clip(name, path)).features["vision"]
            assert found.valid.mean() > 0.9
            means = found.values[found.valid].mean(0)
            return {label.rpartition(".")[2]: float(value) for label, value in zip(found.names, means, strict=True)}

        yield of


PIPELINE = """schema: 1
media: {{fps: 10, rate: 16000, peak_db: -3}}
stages:
  faces: mtcnn
  speaker: largest
  vision: {{use: action_units, backend: mediapipe, checkpoint: {checkpoint}}}
"""


def test_a_smile_and_a_frown(measured: Any) -> None:
    smiling, frowning = measured("positive"), measured("negative")
    assert smiling["AU12_r"] == pytest.approx(0.89, abs=0.05)
    assert smiling["AU12_c"] == 1
    assert smiling["AU15_r"] < 0.01
    assert smiling["AU17_r"] < 0.05
    assert frowning["AU12_r"] == pytest.approx(0.04, abs=0.03)
    assert frowning["AU17_r"] == pytest.approx(0.31, abs=0.08)
    assert 0.015 < frowning["AU15_r"] < 0.1


@pytest.mark.parametrize("name", ["grid", "talk"])
def test_people_who_only_talk_do_not_smile(name: str, measured: Any) -> None:
    found = measured(name)
    assert found["AU12_r"] < 0.03
    assert found["AU15_r"] < 0.03
    assert found["AU25_r"] > 0.01


def test_nothing_of_the_library_reaches_the_terminal(landmarker: str) -> None:
    program = (
        "import sys\n"
        "from msapipe.stages.vision.action_units import ActionUnits\n"
        "from msapipe.testing import fakes\n"
        "stage = ActionUnits(backend='mediapipe', checkpoint=sys.argv[1])\n"
        "stage.load('cpu')\n"
        "stage.run(fakes.face_clip(2))\n"
        "print('our own line', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, landmarker], capture_output=True, text=True, check=True)
    assert done.stderr == "our own line\n"
    assert done.stdout == ""


def test_a_file_that_is_no_model_is_refused_by_the_library(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed")
    path = tmp_path / "face_landmarker.task"
    path.write_bytes(b"no model")
    with pytest.raises(WeightsError, match="no model of MediaPipe's FaceLandmarker"):
        ActionUnits(backend="mediapipe", checkpoint=str(path)).load("cpu")
    sys.stderr.write("still open\n")
    assert capfd.readouterr().err == "still open\n"
