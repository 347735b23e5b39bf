"""The nets of MTCNN in ONNX files against the same nets in torch, of which the published files are read."""

from __future__ import annotations

import numpy as np
import pytest

from msapipe.stages.faces._cascade import CROPS, nets_in_torch, nets_on_cpu
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
