"""Every registered thing, held to the promises of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msapipe.datasets import READERS
from msapipe.errors import ConfigError, UnknownName
from msapipe.fusion import fusion_models
from msapipe.stages import STAGES, Stage
from msapipe.testing import tiny
from msapipe.testing.contract import check_fusion, check_stage
from msapipe.types import FeatureSequence, Waveform

ALL_STAGES = [(slot, name) for slot, registry in STAGES.items() for name in registry.where()]


@pytest.mark.parametrize(("slot", "name"), ALL_STAGES)
def test_stage(slot: str, name: str, tiny_weights: Path) -> None:
    check_stage(slot, STAGES[slot].get(name), **tiny.params(slot, name, tiny_weights))


# Where the paper's sizes take minutes to learn anything, smaller ones show the same.
QUIET = {"dropout": 0.0, "post_dropout": 0.0}
SMALLER: dict[str, dict[str, Any]] = {
    "agfn": {"layers": 1, "vat_steps": 1, "d": 64},
    # The labels to learn lie in [-2, 2].
    "av_mc": {"output_range": (-3.0, 3.0), **QUIET},
    "av_mc_semi": {"output_range": (-3.0, 3.0), **QUIET},
    "mfm": {
        "mmd": 1.0,
        "dropouts": (0.0, 0.0, 0.0),
        "y_dropout": (0.0, 0.0),
        "attention": (32, 0.0),
        "update": (32, 0.0),
    },
    "misa": {"d": 32, "feed": 64, "dropout": 0.0},
    "mmmu_ba": {"hidden": 32, "units": 16, "gru_dropout": 0.0, "dropout": 0.0},
    "mult": {"layers": 2, "width": 20, "heads": 4, "text_dropout": 0.0, "embed_dropout": 0.0, "output_dropout": 0.0},
    "tetfn": {"layers": 1, "d": 20, "heads": 4, "dropout": 0.0},
    "tfn": {"hidden": (16, 8, 16), "text_out": 8},
}


@pytest.mark.parametrize("name", sorted(fusion_models().where()))
def test_fusion_model(name: str) -> None:
    check_fusion(fusion_models().get(name), **SMALLER.get(name, {}))


def test_names_are_file_names() -> None:
    assert {"mtcnn"} <= set(STAGES["faces"].where())
    assert {"sidecar", "subtitles", "pocketsphinx"} <= set(STAGES["transcript"].where())
    assert {"folder"} <= set(READERS.where())
    assert "late" in fusion_models().where()


def test_unknown_name_says_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'mtcnn'"):
        STAGES["faces"].get("mtcn")


def test_a_stage_that_asks_for_an_unknown_slot_is_refused_at_birth() -> None:
    with pytest.raises(TypeError, match="asks for 'pixels'"):

        class _Odd(Stage):
            def run(self, pixels: Any) -> None: ...


@dataclass
class Random(Stage):
    """Noise: (T, 1)."""

    def run(self, waveform: Waveform) -> FeatureSequence:
        values = np.random.default_rng().normal(size=(2, 1)).astype(np.float32)
        return FeatureSequence(values, np.array([[0.0, 1], [1, 2]]), np.ones(2, bool), ("noise",))


@dataclass
class Shapeless(Random):
    """Says nothing of its shape."""


def test_the_contract_can_fail() -> None:
    with pytest.raises(AssertionError, match="other numbers the second time"):
        check_stage("audio", Random)
    with pytest.raises(AssertionError, match="shape of its output"):
        check_stage("audio", Shapeless)


def test_a_plug_in_must_not_take_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint, EntryPoints

    entry = EntryPoint("mtcnn", "elsewhere:Detector", "msapipe.faces")
    monkeypatch.setattr("msapipe.registry._entry_points", lambda path: EntryPoints([entry]))
    with pytest.raises(ConfigError, match="elsewhere:Detector"):
        STAGES["faces"].where()
    monkeypatch.setenv("MSAPIPE_PLUGINS", "0")
    assert "mtcnn" in STAGES["faces"].where()
