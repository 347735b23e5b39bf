"""The nets of MTCNN in ONNX files against the same nets in torch, of which the published files are read."""

from __future__ import annotations

import numpy as np
import pytest

from msapipe.stages.faces._cascade import BLOCK, CROPS, nets_in_torch, nets_on_cpu, suppressed
from msapipe.stages.faces._tracks import overlaps
from msapipe.stages.faces.mtcnn import MTCNN

SHAPES = [(0, (1, 37, 61)), (0, (1, 12, 12)), (1, (5, 24, 24)), (2, (3, 48, 48)), (1, (CROPS + 3, 24, 24))]


@pytest.mark.parametrize(("net", "shape"), SHAPES)
def test_both_forms_say_the_same(net: int, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(net).uniform(0, 255, (*shape, 3)).astype(np.float32)
    in_torch = nets_in_torch([weights.path() for weights in MTCNN.weights], "cpu")  # type: ignore[attr-defined]
    for said, want in zip(nets_on_cpu()[net](pixels), in_torch[net](pixels), strict=True):
        assert said.shape == want.shape
        assert len(said) == shape[0]
        assert said.dtype == np.float32
        assert np.abs(said - want).max() < 1e-5


def test_a_picture_says_the_same_alone_and_among_others() -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (6, 48, 48, 3)).astype(np.float32)
    net = nets_on_cpu()[2]
    for alone, among in zip(net(pixels[2:3]), net(pixels), strict=True):
        assert np.abs(alone[0] - among[2]).max() < 1e-6


@pytest.mark.parametrize("count", [0, 1, 30, 3 * BLOCK + 1])
@pytest.mark.parametrize("overlap", [0.3, 0.7])
def test_boxes_are_suppressed_one_by_one_the_best_first(count: int, overlap: float) -> None:
    random = np.random.default_rng(count)
    near, side = random.uniform(0, 200, (count, 2)), random.uniform(10, 80, (count, 1))
    boxes = np.concatenate([near, near + side], 1).astype(np.float32)
    score = random.uniform(0, 1, count).round(2).astype(np.float32)  # some are equal
    kept: list[int] = []
    for index in np.argsort(-score, kind="stable").tolist():
        if not kept or overlaps(boxes[[index]], boxes[kept]).max() <= overlap:
            kept.append(index)
    assert suppressed(boxes, score, overlap).tolist() == kept
    assert count < 2 or len(kept) < count
