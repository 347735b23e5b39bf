"""A model folder says which pipeline it reads: the command that train prints works as it stands."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

import msapipe
from msapipe.api import Pipeline
from msapipe.errors import ConfigError, FeatureMismatch
from msapipe.formats import FORMATS
from msapipe.pipeline.card import read_card
from msapipe.pipeline.model_pipeline import made_by
from msapipe.pipeline.spec import load_spec
from msapipe.testing import fakes
from msapipe.types import Sample
from tests.program import run_program

# Not one of msapipe's pipelines.
VOICE = """
schema: 1
about: the voice alone
media: {rate: 16000}
stages:
  audio: {use: mfcc, n_mfcc: 7}
align: {to: 5}
"""


def train(folder: Path, spec: str | None, dims: dict[str, int], suffix: str = "safetensors") -> Path:
    """A model that is trained for one epoch on twelve fakes of a pipeline's features."""
    samples = [
        Sample(f"v{i}$_$1", fakes.features(dims, seed=i), {"M": i % 3 - 1.0}, ["train", "valid", "test"][i % 3])
        for i in range(12)
    ]
    features = folder / f"features.{suffix}"
    FORMATS.get("mmsa" if suffix == "pkl" else suffix)().write(
        features, samples, made_by(load_spec(spec)) if spec else None
    )
    how = ("--model", "sf", "--set", "epochs=1", "--seeds", "1", "--device", "cpu")
    assert run_program("train", features, *how, "-o", folder / "model") == 0
    return folder / "model"


def test_the_printed_next_step_runs_with_a_pipeline_of_ones_own(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MSAPIPE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "voice.yaml").write_text(VOICE)
    width = load_width(samples, tmp_path / "voice.yaml")
    capsys.readouterr()
    model = train(tmp_path, str(tmp_path / "voice.yaml"), {"audio": width})
    told = " ".join(capsys.readouterr().err.split())
    (tmp_path / "voice.yaml").unlink()
    step = re.search(r"type: msapipe (predict CLIP --model \S+)", told)
    assert step is not None, told
    clip = samples / "positive.mp4"
    assert run_program(*(clip if word == "CLIP" else word for word in shlex.split(step[1])), "--json") == 0
    said = json.loads(capsys.readouterr().out)["score"]
    with msapipe.load(model=str(model), device="cpu") as pipeline:
        assert pipeline.predict(clip).score == pytest.approx(said, abs=1e-4)
    assert pipeline.spec.align == 5


def load_width(samples: Path, spec: Path) -> int:
    """How many columns the pipeline's audio has."""
    with msapipe.load(str(spec), device="cpu") as pipeline:
        return int(pipeline.features(samples / "positive.mp4")["audio"].values.shape[1])


def test_a_bundled_pipeline_is_named_also_when_only_its_features_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made_by(load_spec("pocket"))
    assert whole.pop("pipeline") == {"name": "pocket"}
    monkeypatch.setattr(f"{__name__}.made_by", lambda spec: whole)
    model = train(tmp_path, "pocket", {"text": 3, "audio": 12, "vision": 41})
    assert read_card(model).pipeline == "pocket"
    assert not (model / "pipeline.yaml").exists()


def test_a_model_of_other_peoples_features_says_why_it_scores_no_clip(
    samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = train(tmp_path, None, {"text": 3, "audio": 12, "vision": 41}, "pkl")
    told = " ".join(capsys.readouterr().err.split())
    assert "predict" not in told
    assert f"cannot score a raw clip; type: msapipe evaluate {tmp_path / 'features.pkl'} --model {model}" in told
    assert run_program("evaluate", tmp_path / "features.pkl", "--model", model) == 0
    assert run_program("predict", samples / "positive.mp4", "--model", model) != 0
    assert "features that another tool made" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(ConfigError, match=r"cannot score a raw clip: it was trained on features\.pkl"):
        msapipe.load(model=str(model))
    with pytest.raises(FeatureMismatch, match="cannot score a raw clip"):
        Pipeline(load_spec("pocket"), tmp_path, str(model))


def test_checkpoints_beside_a_pipeline_are_found_from_the_model_folder(tmp_path: Path) -> None:
    from msapipe.pipeline.spec import portable_text

    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "config.json").write_text("{}")
    text = VOICE.replace("{use: mfcc, n_mfcc: 7}", "{use: hubert, checkpoint: ./own}")
    (tmp_path / "own.yaml").write_text(text)
    kept = portable_text(load_spec(str(tmp_path / "own.yaml")))
    assert f"checkpoint: {tmp_path / 'own'}" in kept
