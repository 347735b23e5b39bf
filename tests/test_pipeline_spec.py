from __future__ import annotations

from pathlib import Path

import pytest

from msapipe.errors import ConfigError, FeatureMismatch, UnknownName, WeightsError
from msapipe.pipeline.card import check_features, model_folder, model_names, read_card, signature
from msapipe.pipeline.spec import load_spec, parse_spec, pipeline_names

GOOD = """
schema: 1
about: a test
stages:
  transcript: [sidecar, subtitles]
  words: {use: spread}
  faces: {use: mtcnn, min_score: 0.8}
  speaker: largest
  text: {use: lexicon}
  audio: {loud: {use: mfcc, n_mfcc: 13}, soft: {use: mfcc, n_mfcc: 20}}
  vision: {use: geometry}
align: {to: 32}
"""


def test_every_bundled_pipeline_can_be_read() -> None:
    for name in pipeline_names():
        spec = load_spec(name)
        assert spec.about
        assert spec.uses()


def test_a_pipeline_says_what_it_means() -> None:
    spec = parse_spec(GOOD, "test")
    assert [use.where for use in spec.uses()] == [
        "transcript.sidecar",
        "transcript.subtitles",
        "words.spread",
        "faces.mtcnn",
        "speaker.largest",
        "text.lexicon",
        "audio.loud",
        "audio.soft",
        "vision.geometry",
    ]
    assert spec.align == 32
    assert spec.modalities == ("text", "audio", "vision")
    assert spec.stages["audio"][0].stage.params()["n_mfcc"] == 13


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{use: mtcnn, min_score: 0.8}", "{use: mtcn}", r"stages.faces: no faces stage.*did you mean 'mtcnn'"),
        ("min_score: 0.8", "min_scor: 0.8", r"stages.faces: no key 'min_scor'; did you mean 'min_score'"),
        ("min_score: 0.8", "min_score: high", r"stages.faces.min_score: .*found 'high'"),
        ("align: {to: 32}", "aline: words", r"the pipeline: no key 'aline'; did you mean 'align'"),
        ("align: {to: 32}", "align: {to: 0}", r"align: found"),
        ("schema: 1", "schema: 7", r"schema: found 7"),
        ("  speaker: largest\n", "", r"stages.vision.geometry reads speaker, which the pipeline does not fill"),
        ("{use: mtcnn, min_score: 0.8}", "[mtcnn]", r"stages.faces: a list stands only for transcript, words, speaker"),
        ("text: {use: lexicon}", "texts: {use: lexicon}", r"stages: no key 'texts'; did you mean 'text'"),
        ("vision: {use: geometry}", "vision: 3", r"stages.vision: found 3, expected a mapping"),
        ("about: a test", "media: {fps: -1}", r"media"),
        ("about: a test", "about: [", r"not valid YAML"),
        ("about: a test", "about: !!python/object/apply:os.getcwd []", r"not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=message):
        parse_spec(GOOD.replace(old, new), "test")


def test_an_unknown_pipeline_says_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'pocket'"):
        load_spec("poket")
    with pytest.raises(ConfigError, match=r"no-such\.yaml: there is no such pipeline file"):
        load_spec("no-such.yaml")


def test_a_pipeline_that_cannot_be_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"x\.yaml"):
        load_spec(str(path))


def test_every_bundled_model_fits_a_bundled_pipeline() -> None:
    specs = [load_spec(name) for name in pipeline_names()]
    for name in model_names():
        card = read_card(model_folder(name))
        fitting = [spec for spec in specs if spec.model == name]
        assert fitting, f"no pipeline uses model {name}"
        for spec in fitting:
            check_features(card, spec, name)


def test_a_changed_pipeline_is_refused_field_by_field() -> None:
    card = read_card(model_folder("pocket"))
    text = (pipeline_names()["pocket"]).read_text()
    changed = text.replace("min_score: 0.9", "min_score: 0.5").replace("fps: 10", "fps: 5")
    with pytest.raises(FeatureMismatch) as caught:
        check_features(card, parse_spec(changed, "pocket"), "pocket")
    assert "faces.mtcnn.min_score: trained on 0.9, pipeline has 0.5" in str(caught.value)
    assert "media.fps: trained on 10.0, pipeline has 5.0" in str(caught.value)


def test_where_words_come_from_is_not_part_of_what_a_model_was_trained_on() -> None:
    text = pipeline_names()["pocket"].read_text()
    only_sidecars = text.replace("[sidecar, subtitles, {use: whisper}, pocketsphinx]", "[sidecar]")
    assert only_sidecars != text
    assert signature(parse_spec(only_sidecars, "a")) == signature(parse_spec(text, "b"))


def test_other_bytes_of_weights_are_refused(tmp_path: Path) -> None:
    source = model_folder("pocket")
    for path in source.glob("model.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(WeightsError, match=r"model\.yaml states"):
        read_card(tmp_path)
    weights.unlink()
    with pytest.raises(WeightsError, match="is missing"):
        read_card(tmp_path)
    with pytest.raises(UnknownName, match="did you mean 'pocket'"):
        model_folder("poket")
