"""HSEmotion against torch: the same random EfficientNet, run from the ONNX file that torch writes of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.models import efficientnet_b0
from torchvision.models.efficientnet import EfficientNet, MBConvConfig

from msapipe.errors import ConfigError, MissingLibrary, MissingWeights, WeightsError
from msapipe.stages.vision._imagenet import normalised
from msapipe.stages.vision.hsemotion import Hsemotion
from msapipe.testing import fakes
from msapipe.testing.tiny.vision_hsemotion import write_onnx
from msapipe.types import EncodedImages, FaceClip, Speaker
from msapipe.weights import Download

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SIZE, COLUMNS = 48, 64


def small_net() -> nn.Module:
    """Depthwise convolutions, squeeze and excitation, SiLU, a skip: every step of EfficientNet, 64 columns wide."""
    blocks = [MBConvConfig(1, 3, 1, 8, 8, 1, 1, 1), MBConvConfig(4, 5, 2, 8, 16, 2, 1, 1)]
    return randomised(EfficientNet(blocks, dropout=0.2, num_classes=8))


def randomised(net: nn.Module) -> nn.Module:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return small_net()


@pytest.fixture(scope="module")
def file(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("onnx") / "enet.onnx"
    write_onnx(net, made, SIZE)
    return made


@pytest.fixture(scope="module")
def made(file: Path) -> Hsemotion:
    return stage(file)


def stage(path: Path, **params: Any) -> Hsemotion:
    loaded = Hsemotion(str(path), **params)
    loaded.load("cpu")
    return loaded


def clip_of(count: int, seen: list[bool] | None = None) -> FaceClip:
    """Blurred noise as faces, every picture another, of which some are the speaker's."""
    random = np.random.default_rng(3)
    drawn = [cv2.GaussianBlur(random.integers(0, 256, (100, 100, 3), np.uint8), (0, 0), 3) for _ in range(count)]
    bright = [cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX) for picture in drawn]
    coded = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in bright]
    tracks = replace(fakes.face_tracks(count), crops=EncodedImages.join(coded))
    track = np.where(seen or [True] * count, 0, -1).astype(np.int64)
    return FaceClip(tracks, Speaker(track, np.ones(count, np.float32)))


def by_torch(net: Any, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What the net's classifier is given."""
    pixels = torch.from_numpy(np.ascontiguousarray(normalised(np.stack(pictures))))
    with torch.inference_mode():
        return np.asarray(net.avgpool(net.features(pixels)).flatten(1).numpy())


def test_numbers_are_what_torch_gives_its_classifier(net: nn.Module, made: Hsemotion) -> None:
    clip = clip_of(5)
    got = made.run(clip)
    want = by_torch(net, [clip.aligned(row, SIZE) for row in range(5)])
    assert got.values.shape == (5, COLUMNS)
    assert got.names == tuple(f"hsemotion_{i}" for i in range(COLUMNS))
    assert np.abs(got.values - want).max() < 1e-5 * np.abs(want).max()
    assert np.abs(want[0] - want[1]).max() > 0.01 * np.abs(want).max()


def test_the_loose_crop_and_a_folder(net: nn.Module, file: Path) -> None:
    clip = clip_of(1)
    got = stage(file.parent, crop="loose").run(clip).values
    want = by_torch(net, [clip.loose(0, SIZE)])
    assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()


@pytest.mark.slow
def test_efficientnet_b0_has_1280_columns(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        net = randomised(efficientnet_b0(weights=None, num_classes=8))
    write_onnx(net, tmp_path / "enet.onnx", 224)
    clip = clip_of(2)
    got = stage(tmp_path / "enet.onnx").run(clip).values
    want = by_torch(net, [clip.aligned(row, 224) for row in range(2)])
    assert got.shape == (2, 1280)
    assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()


def test_a_face_has_the_same_numbers_among_any_others(made: Hsemotion) -> None:
    seen = [True, False, True, True, False]
    every, some = made.run(clip_of(5)), made.run(clip_of(5, seen))
    assert some.valid.tolist() == seen
    assert not some.values[~some.valid].any()
    assert np.array_equal(some.values[some.valid], every.values[some.valid])
    assert np.array_equal(made.run(clip_of(1)).values, every.values[:1])


def test_nobody_and_nothing(made: Hsemotion) -> None:
    assert made.run(fakes.face_clip(0)).values.shape == (0, COLUMNS)
    assert not made.run(fakes.face_clip(3, seen=False)).valid.any()


def test_the_catalogue() -> None:
    (known,) = Hsemotion.weights
    assert isinstance(known, Download)
    assert known.commercial
    assert known.licence == "Apache-2.0"
    assert len(known.sha256) == 64
    with pytest.raises(MissingWeights, match="msapipe weights fetch enet_b0_8_best_vgaf"):
        Hsemotion().load("cpu")
    with pytest.raises(ConfigError, match="crop"):
        Hsemotion(crop="tight")  # type: ignore[arg-type]


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_without_the_extra_it_says_what_to_type(file: Path, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingLibrary, match=r'type: uv pip install "msapipe\[hsemotion\]"'):
        stage(file)


def test_files_that_are_something_else_are_refused(tmp_path: Path, file: Path) -> None:
    softmax = onnx.load(file)
    softmax.graph.node.append(onnx.helper.make_node("Softmax", ["output"], ["shares"]))
    softmax.graph.output[0].name = "shares"
    onnx.save(softmax, tmp_path / "softmax.onnx")
    torch.onnx.export(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (torch.zeros(1, 12),), tmp_path / "flat.onnx", dynamo=False
    )
    (tmp_path / "text.onnx").write_text("no net")
    (tmp_path / "empty.onnx").touch()
    cut = onnx.load(file)
    del cut.graph.node[3]
    onnx.save(cut, tmp_path / "cut.onnx")
    for name, sentence in {
        "softmax.onnx": "comes from Softmax, expected a linear classifier",
        "flat.onnx": r"of \[1, 12\], expected \(n, columns\) of \(n, 3, side, side\)",
        "text.onnx": "cannot be read as an ONNX model",
        "empty.onnx": "comes from nothing",
        "cut.onnx": "cannot be read as an ONNX model",
    }.items():
        with pytest.raises(WeightsError, match=f"{name}.*{sentence}"):
            stage(tmp_path / name)
    with pytest.raises(WeightsError, match=r"found cut.onnx, empty.onnx, .*expected one file"):
        stage(tmp_path)
