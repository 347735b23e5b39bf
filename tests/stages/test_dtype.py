"""bfloat16 in the networks of stages: near float32, in the key, refused by models of float32, set by --dtype."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from msapipe.engines.wire import runner_of, start_message
from msapipe.errors import ConfigError, FeatureMismatch
from msapipe.formats import format_of
from msapipe.pipeline.card import Card, check_features, model_folder, read_card, signature
from msapipe.pipeline.model_pipeline import ModelPipeline, made_by
from msapipe.pipeline.run import Options
from msapipe.pipeline.spec import PipelineSpec, build, load_spec, parse_spec, pipeline_names, with_dtype
from msapipe.stages import MODALITIES, STAGES, NeuralStage
from msapipe.testing import fakes, tiny
from tests.program import run_program

# Stage to how far bfloat16 may be off: norm of the difference over norm. The docstrings say the same.
TOLERANCE = {
    ("audio", "wav2vec2"): 3e-2,
    ("audio", "hubert"): 3e-2,
    ("text", "bert"): 2e-2,
    ("vision", "action_units"): 1e-2,
    ("vision", "resnet18"): 1e-2,
    ("vision", "video_swin"): 1e-2,
}


def made(slot: str, name: str, tiny_weights: Path, **params: Any) -> Any:
    stage = STAGES[slot].get(name)(**{**tiny.params(slot, name, tiny_weights), **params})
    stage.load("cpu")
    return stage


def values(stage: Any, kind: Any = "usual") -> Any:
    return stage.run(**fakes.inputs(type(stage).needs(), kind)).values


def test_every_stage_with_a_dtype_is_known_here() -> None:
    every = {(slot, name) for slot in MODALITIES for name in STAGES[slot].where()}
    neural = {(slot, name) for slot, name in every if issubclass(STAGES[slot].get(name), NeuralStage)}
    assert neural == set(TOLERANCE)


@pytest.mark.parametrize(("slot", "name"), TOLERANCE)
def test_bfloat16_is_near_float32(slot: str, name: str, tiny_weights: Path) -> None:
    plain = values(made(slot, name, tiny_weights))
    wide = values(made(slot, name, tiny_weights, dtype="float32"))
    half = values(made(slot, name, tiny_weights, dtype="bfloat16"))
    assert np.array_equal(plain, wide)
    assert half.dtype == np.float32
    assert half.shape == plain.shape
    off = np.linalg.norm(half - plain) / np.linalg.norm(plain)
    assert 1e-5 < off < TOLERANCE[slot, name]
    assert values(made(slot, name, tiny_weights, dtype="bfloat16"), "empty").shape[1] == plain.shape[1]


@pytest.mark.parametrize(("slot", "name"), TOLERANCE)
def test_only_what_is_not_the_default_stands_in_the_key(slot: str, name: str, tiny_weights: Path) -> None:
    cls = STAGES[slot].get(name)
    params = tiny.params(slot, name, tiny_weights)
    assert "dtype" not in cls(**params).params()
    assert {field.name for field in fields(cls)} == {*cls(**params).params(), "dtype"}
    assert cls(**params, dtype="bfloat16").params() == {**cls(**params).params(), "dtype": "bfloat16"}


@pytest.mark.parametrize(("slot", "name"), TOLERANCE)
def test_another_dtype_is_refused_with_those_that_there_are(slot: str, name: str) -> None:
    cls = STAGES[slot].get(name)
    with pytest.raises(ConfigError, match=r"dtype must be one of float32, bfloat16, got 'float16'"):
        cls(dtype="float16")
    with pytest.raises(ConfigError, match=r"x\.dtype: .*'float32' or 'bfloat16', found 'float16'"):
        build(cls, {"dtype": "float16"}, "x")


# --- pipelines -----------------------------------------------------------------------------------------------------


@pytest.fixture
def spec(tiny_weights: Path) -> PipelineSpec:
    return load_spec(str(tiny.spec("boosting", tiny_weights)))


def dtypes(spec: PipelineSpec) -> dict[str, str]:
    return {use.where: use.stage.dtype for use in spec.uses() if isinstance(use.stage, NeuralStage)}


def test_a_pipeline_in_bfloat16_is_so_everywhere(spec: PipelineSpec, tmp_path: Path) -> None:
    half = with_dtype(spec, "bfloat16")
    assert set(dtypes(spec).values()) == {"float32"}
    assert set(dtypes(half).values()) == {"bfloat16"}
    assert {use.slot for use in half.uses() if isinstance(use.stage, NeuralStage)} == {"text", "audio", "vision"}
    assert [use.stage.params() for use in half.uses() if not isinstance(use.stage, NeuralStage)] == [
        use.stage.params() for use in spec.uses() if not isinstance(use.stage, NeuralStage)
    ]
    assert signature(with_dtype(half, "float32")) == signature(spec)
    with runner_of(start_message(half, str(tmp_path), Options("cpu"))) as elsewhere:
        assert elsewhere.spec == half
    one = with_dtype(spec.without(["text", "audio"]), "bfloat16")
    assert one.modalities == ("vision",)
    assert set(dtypes(one).values()) == {"bfloat16"}


@pytest.mark.parametrize(
    "entry", ["resnet18", "{use: resnet18, size: 64}", "{face: resnet18, b: {use: resnet18, size: 64}}"]
)
def test_whatever_way_a_stage_is_written(entry: str) -> None:
    text = f"schema: 1\nstages:\n  faces: mtcnn\n  speaker: largest\n  vision: {entry}\n"
    found = parse_spec(text, "x")
    half = with_dtype(found, "bfloat16")
    assert set(dtypes(half).values()) == {"bfloat16"}
    assert [replace(use.stage, dtype="float32") for use in half.stages["vision"]] == [
        use.stage for use in found.stages["vision"]
    ]


def test_where_it_cannot_be_set() -> None:
    with pytest.raises(ConfigError, match="--dtype bfloat16: no stage of pipeline pocket has a dtype; leave it out"):
        with_dtype(load_spec("pocket"), "bfloat16")
    with pytest.raises(ConfigError, match="'float32' or 'bfloat16', found 'half'"):
        with_dtype(load_spec("boosting"), "half")


def test_features_say_that_they_are_of_bfloat16() -> None:
    """The pipeline that a model keeps is that of its features, not the bundled one."""
    half = with_dtype(load_spec("boosting"), "bfloat16")
    kept = ModelPipeline.of(made_by(half))
    assert kept.name == "pipeline.yaml"
    assert signature(parse_spec(kept.text, "pipeline")) == signature(half)
    assert ModelPipeline.of(made_by(load_spec("boosting"))).name == "boosting"


def card_of(spec: PipelineSpec) -> Card:
    any_card = read_card(model_folder("pocket"))
    features = yaml.safe_load(yaml.safe_dump(signature(spec)))
    dims = dict.fromkeys(spec.modalities, 1)
    return any_card.model_copy(update={"features": features, "align": spec.align, "dims": dims})


def test_a_model_of_one_dtype_is_not_scored_with_the_other() -> None:
    plain = load_spec("boosting")
    half = with_dtype(plain, "bfloat16")
    check_features(card_of(plain), plain, "m")
    check_features(card_of(half), half, "m")
    for trained, scored, says in (
        (plain, half, "float32, pipeline has bfloat16"),
        (half, plain, "bfloat16, pipeline has"),
    ):
        with pytest.raises(FeatureMismatch) as caught:
            check_features(card_of(trained), scored, "m")
        for where in dtypes(plain):
            assert f"{where}.dtype: trained on {says}" in str(caught.value)


def test_bundled_pipelines_are_of_float32() -> None:
    assert {kind for name in pipeline_names() for kind in dtypes(load_spec(name)).values()} == {"float32"}


# --- the command line --------------------------------------------------------------------------------------------


def test_extract_in_bfloat16(samples: Path, tiny_weights: Path, tmp_path: Path) -> None:
    audio = {"use": "hubert", **tiny.params("audio", "hubert", tiny_weights)}
    spec = tmp_path / "sound.yaml"
    spec.write_text(yaml.safe_dump({"schema": 1, "stages": {"audio": audio}}))
    clip = samples / "positive.mp4"
    command = ("extract", clip, "-p", spec, "--cache", tmp_path / "cache", "--jobs", 1)
    found = {}
    for name, more in (("plain", []), ("half", ["--dtype", "bfloat16"]), ("wide", ["--dtype", "float32"])):
        output, report = tmp_path / f"{name}.safetensors", tmp_path / f"{name}.jsonl"
        assert run_program(*command, "-o", output, "--report", report, *more) == 0
        sample = next(iter(format_of(output).read(output)))
        computed = json.loads(report.read_text().splitlines()[0])["computed"]
        found[name] = sample.features["audio"].values, computed, format_of(output).made_by(output)
    off = np.linalg.norm(found["half"][0] - found["plain"][0]) / np.linalg.norm(found["plain"][0])
    assert 1e-4 < off < TOLERANCE["audio", "hubert"]
    assert np.array_equal(found["wide"][0], found["plain"][0])
    assert [computed for _, computed, _ in found.values()] == [True, True, False]
    assert found["half"][2]["features"]["audio"]["hubert"]["dtype"] == "bfloat16"
    assert yaml.safe_load(found["half"][2]["pipeline"]["text"])["stages"]["audio"]["dtype"] == "bfloat16"


def test_the_command_line_refuses_another_dtype(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = samples / "positive.mp4"
    assert run_program("extract", clip, "-p", "boosting", "--dtype", "half") != 0
    assert "'float32' or 'bfloat16', found 'half'" in " ".join(capsys.readouterr().err.split())
    assert run_program("predict", clip, "--dtype", "bfloat16") != 0
    assert "no stage of pipeline pocket has a dtype" in " ".join(capsys.readouterr().err.split())
