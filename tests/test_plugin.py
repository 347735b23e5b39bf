"""A stage from another package is found by its entry point, kept to the contract, and used in a pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from msapipe.cache import Store
from msapipe.errors import ConfigError
from msapipe.pipeline.run import Runner
from msapipe.pipeline.spec import parse_spec
from msapipe.stages import STAGES
from msapipe.testing.contract import check_stage
from msapipe.types import Clip

PIPELINE = "schema: 1\nstages: {vision: {light: {use: brightness}}}"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugin"))


def test_a_plug_in_is_found_and_keeps_the_contract() -> None:
    assert STAGES["vision"].where()["brightness"] == "brightness:Brightness"
    assert STAGES["vision"].about("brightness") == "plug-in brightness:Brightness"
    check_stage("vision", STAGES["vision"].get("brightness"))


def test_a_plug_in_runs(samples: Path, tmp_path: Path) -> None:
    with Runner(parse_spec(PIPELINE, "light"), Store(tmp_path)) as runner:
        outcome = runner.run(Clip("a", samples / "no_face.mp4"))
    assert outcome.status == "ok"
    assert outcome.features["vision"].names == ("light.luma_mean", "light.luma_spread")
    assert len(outcome.features["vision"].values) > 30


def test_plug_ins_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSAPIPE_PLUGINS", "0")
    with pytest.raises(ConfigError, match="no vision stage is called 'brightness'"):
        parse_spec(PIPELINE, "light")
