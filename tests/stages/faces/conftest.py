"""The stage, loaded once for all tests of faces."""

from __future__ import annotations

import pytest

from msapipe.stages.faces.mtcnn import MTCNN


@pytest.fixture(scope="session")
def mtcnn() -> MTCNN:
    stage = MTCNN()
    stage.load("cpu")
    return stage


@pytest.fixture(scope="session")
def exact() -> MTCNN:
    stage = MTCNN(exact=True)
    stage.load("cpu")
    return stage
