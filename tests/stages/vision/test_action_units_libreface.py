"""LibreFace: its crop and its net against what is published, files, batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from msapipe.errors import WeightsError
from msapipe.stages.vision import _libreface
from msapipe.stages.vision._libreface import LibreFace, alignment
from msapipe.stages.vision._resnet18 import ON_CPU
from msapipe.stages.vision.action_units import ActionUnits
from msapipe.testing import fakes, tiny
from msapipe.types import EncodedImages, FaceClip, FaceTracks, Speaker

cv2 = pytest.importorskip("cv2")
torch = pytest.importorskip("torch")

INTENSITIES = [1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26]
PRESENCES = [1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24]


@pytest.fixture(scope="module")
def checkpoint(tiny_weights: Path) -> Path:
    return Path(tiny.params("vision", "action_units", tiny_weights)["checkpoint"])


def clip_of(pictures: list[NDArray[np.uint8]]) -> FaceClip:
    """One face in each picture; the pictures are the stored squares."""
    faces = fakes.face_tracks(len(pictures))
    png = [cv2.imencode(".png", picture[..., ::-1])[1].tobytes() for picture in pictures]
    tracks = FaceTracks(**{**vars(faces), "crops": EncodedImages.join(png)})
    return FaceClip(tracks, Speaker(np.zeros(len(pictures), np.int64), np.ones(len(pictures), np.float32)))


def smooth(seed: int, size: int = 192) -> NDArray[np.uint8]:
    """A picture without edges."""
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


# --- the crop ----------------------------------------------------------------------------------------------------


def published_crop(picture: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """LibreFace's steps with its own library: a quadrilateral to 512 pixels, resized to 256, of it the middle 224."""
    from PIL import Image
    from torchvision import transforms

    left, right, _, one, other = landmarks
    eyes, mouth = (left + right) / 2, (one + other) / 2
    way = mouth - eyes
    x = (right - left) - np.flipud(way) * [-1, 1]
    x = x / np.hypot(*x) * max(np.hypot(*(right - left)) * 2.0, np.hypot(*way) * 1.8)
    y = np.flipud(x) * [-1, 1]
    middle = eyes + way * 0.1
    corners = np.stack([middle - x - y, middle - x + y, middle + x + y, middle + x - y]) + 0.5
    image = Image.fromarray(picture)
    face = image.transform((512, 512), Image.Transform.QUAD, corners.ravel().tolist(), Image.Resampling.BILINEAR)
    cut = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])(face)
    return np.asarray(cut, np.float64)


@pytest.mark.parametrize("degrees", [0, 25, -60])
@pytest.mark.parametrize("wide", [14, 30])
def test_the_crop_is_that_of_libreface(degrees: float, wide: float) -> None:
    face = np.array([[-wide, -10], [wide, -10], [2, 10], [-12, 30], [14, 31]], float)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    landmarks = face @ turn + 96
    picture = smooth(1)
    want = published_crop(picture, landmarks)
    matrix = alignment(landmarks.astype(np.float32))
    ours = cv2.warpAffine(picture, matrix, (224, 224), flags=cv2.INTER_LINEAR).astype(float)
    inside = cv2.warpAffine(np.ones((192, 192), np.float32), matrix, (224, 224)) > 0.99
    inside = cv2.erode(inside.astype(np.uint8), np.ones((7, 7))).astype(bool)
    assert inside.mean() > 0.6
    error = np.abs(ours - want)[inside]
    assert error.mean() < 0.6
    assert error.max() <= 3
    moved = np.abs(np.roll(ours, 1, axis=1) - want)[inside]
    assert moved.mean() > 1.5 * error.mean()


def test_landmarks_in_one_point_do_not_break_the_crop() -> None:
    assert np.isfinite(alignment(np.full((5, 2), 7, np.float32))).all()


# --- the net -----------------------------------------------------------------------------------------------------


class Published(torch.nn.Module):  # type: ignore[name-defined,misc]
    """The combined net as LibreFace's files name its parts."""

    def __init__(self) -> None:
        from torch import nn
        from torchvision.models import resnet18

        super().__init__()
        self.encoder = nn.Sequential(*list(resnet18().children())[:-1])
        parts = [
            (nn.Linear(512, 128), nn.ReLU(), nn.BatchNorm1d(128), nn.Dropout(0.1), nn.Linear(128, 12), nn.Sigmoid())
            for _ in range(2)
        ]
        self.classifier, self.classifier_2 = (nn.Sequential(*part) for part in parts)


def test_scores_are_those_of_the_published_net(checkpoint: Path) -> None:
    from torchvision.transforms import functional

    reference = Published()
    reference.load_state_dict(torch.load(checkpoint, weights_only=True)["model"], strict=True)
    reference.eval()
    pictures = np.stack([smooth(seed, 224) for seed in range(4)])
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    with torch.no_grad():
        batch = torch.stack([functional.normalize(functional.to_tensor(p), mean, deviation) for p in pictures])
        features = reference.encoder(batch).flatten(1)
        want = reference.classifier(features).numpy(), reference.classifier_2(features).numpy()
    got = LibreFace(checkpoint, "cpu").scores(pictures)
    assert np.allclose(got[0], want[0], atol=1e-6)
    assert np.allclose(got[1], want[1], atol=1e-6)
    assert np.ptp(want[0], axis=0).min() > 1e-4  # the faces differ, so the test can tell


def with_known_outputs(path: Path, checkpoint: Path) -> Path:
    """A checkpoint whose intensity i is i / 20, and of whose presences every second is 0.6, the others 0.4."""
    whole = torch.load(checkpoint, weights_only=True)
    for head, wanted in (("classifier", torch.arange(12) / 20), ("classifier_2", 0.4 + 0.2 * (torch.arange(12) % 2))):
        whole["model"][f"{head}.4.weight"].zero_()
        whole["model"][f"{head}.4.bias"] = torch.logit(wanted.float())
    torch.save(whole, path)
    return path


def test_outputs_go_to_the_columns_of_their_units(tmp_path: Path, checkpoint: Path) -> None:
    stage = ActionUnits(checkpoint=str(with_known_outputs(tmp_path / "known.pt", checkpoint)), validity=True)
    stage.load("cpu")
    out = stage.run(fakes.face_clip(2))
    row = dict(zip(out.names, out.values[1].round(5).tolist(), strict=True))
    units = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45]
    want: dict[str, Any] = {f"AU{unit:02}_{kind}": 0.0 for kind in "rc" for unit in units}
    want |= {f"AU{unit:02}_r": round(i / 20, 5) for i, unit in enumerate(INTENSITIES)}
    derived = {unit: want[f"AU{unit:02}_r"] >= 0.2 for unit in (5, 9, 20, 25, 26)}
    assert set(derived.values()) == {True, False}
    want |= {f"AU{unit:02}_c": float(here) for unit, here in derived.items()}
    want |= {f"AU{unit:02}_c": float(i % 2) for i, unit in enumerate(PRESENCES) if unit != 24}
    assert {name: row[name] for name in want} == pytest.approx(want, abs=1e-5)
    lacking = {name for name in want if row[f"{name}_valid"] == 0}
    assert lacking == {"AU07_r", "AU10_r", "AU14_r", "AU23_r", "AU45_r", "AU45_c"}
    assert {name for name in want if row[f"{name}_valid"] == 0.5} == {f"AU{unit:02}_c" for unit in derived}
    assert out.notes[0] == "AU07_r, AU10_r, AU14_r, AU23_r, AU45_r, AU45_c: not given by libreface, always 0"


def test_bfloat16_is_near(checkpoint: Path) -> None:
    pictures = np.stack([smooth(seed, 224) for seed in range(4)])
    wide, half = (LibreFace(checkpoint, "cpu", dtype).scores(pictures) for dtype in ("float32", "bfloat16"))
    for got, want in zip(half, wide, strict=True):
        assert got.dtype == np.float32
        assert 1e-5 < np.linalg.norm(got - want) / np.linalg.norm(want) < 1e-2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_face_does_not_depend_on_those_beside_it(checkpoint: Path, dtype: str) -> None:
    net, count = LibreFace(checkpoint, "cpu", dtype), ON_CPU[1] + 1
    pictures = [smooth(seed) for seed in range(count)]
    _, together = net.measure(clip_of(pictures))
    for row in (0, 3, count - 2, count - 1):
        assert np.array_equal(net.measure(clip_of([pictures[row]]))[1][0], together[row])
    assert np.array_equal(net.measure(clip_of(pictures[::-1]))[1][::-1], together)
    assert len(np.unique(together, axis=0)) == count


def test_rows_without_the_speaker_are_skipped(checkpoint: Path) -> None:
    pictures = [smooth(seed) for seed in range(6)]
    faces = fakes.face_tracks(6)
    png = [cv2.imencode(".png", picture[..., ::-1])[1].tobytes() for picture in pictures]
    tracks = FaceTracks(**{**vars(faces), "crops": EncodedImages.join(png)})
    seen = np.array([0, -1, 0, 0, -1, 0], np.int64)
    net = LibreFace(checkpoint, "cpu")
    valid, values = net.measure(FaceClip(tracks, Speaker(seen, np.ones(6, np.float32))))
    assert valid.tolist() == (seen == 0).tolist()
    assert np.array_equal(values[valid], net.measure(clip_of(pictures))[1][valid])
    assert not values[~valid].any()


# --- files -------------------------------------------------------------------------------------------------------


def test_safetensors_and_half_precision_are_read_too(tmp_path: Path, checkpoint: Path) -> None:
    from safetensors.torch import save_file

    numbers = torch.load(checkpoint, weights_only=True)["model"]
    save_file(numbers, tmp_path / "net.safetensors")
    pictures = np.stack([smooth(seed, 224) for seed in range(4)])
    want = LibreFace(checkpoint, "cpu").scores(pictures)[0]
    assert np.array_equal(LibreFace(tmp_path / "net.safetensors", "cpu").scores(pictures)[0], want)
    halves = {name: part.half() if part.is_floating_point() else part for name, part in numbers.items()}
    save_file(halves, tmp_path / "half.safetensors")
    assert np.allclose(LibreFace(tmp_path / "half.safetensors", "cpu").scores(pictures)[0], want, atol=1e-2)


@pytest.mark.parametrize("kind", ["text", "flat", "less", "more", "shape", "list", "folder"])
def test_other_files_are_refused(tmp_path: Path, checkpoint: Path, kind: str) -> None:
    numbers = torch.load(checkpoint, weights_only=True)["model"]
    path = tmp_path / "other.pt"
    if kind == "text":
        path.write_text("not a checkpoint")
    elif kind == "folder":
        path.mkdir()
    elif kind == "flat":
        torch.save(numbers, path)
    elif kind == "list":
        torch.save([1, 2], path)
    else:
        if kind == "less":
            del numbers["classifier_2.4.bias"]
        elif kind == "more":
            numbers["classifier_3.0.bias"] = torch.zeros(8)
        else:
            numbers["classifier.4.bias"] = torch.zeros(8)
        torch.save({"model": numbers}, path)
    with pytest.raises(WeightsError, match=r"other.pt is no combined ResNet of LibreFace"):
        LibreFace(path, "cpu")


def test_loading_draws_no_random_numbers(checkpoint: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    _libreface.read_net(checkpoint)
    assert torch.equal(before, torch.get_rng_state())
