"""What the default model says, and how sure it is of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from msapipe.api import Pipeline
from msapipe.pipeline.run import Outcome
from msapipe.types import Clip, FeatureSequence, Prediction

WONDERFUL = "what a wonderful day i am so happy and i love this movie"
AWFUL = "what an awful day i am so sad and i hate this movie"


def width(prediction: Prediction) -> float:
    assert prediction.interval is not None
    low, high = prediction.interval
    assert low <= prediction.score <= high
    return high - low


def test_the_sample_clips_come_out_on_their_sides(pocket: Pipeline, outcomes: dict[str, Outcome]) -> None:
    assert pocket.score(outcomes["positive"]).score > 0.8
    assert pocket.score(outcomes["negative"]).score < -0.8


@pytest.mark.parametrize("name", ["positive", "negative"])
def test_the_other_sentence_changes_the_sign(name: str, pocket: Pipeline, outcomes: dict[str, Outcome]) -> None:
    path = outcomes[name].clip.path
    good, bad = (pocket.predict(Clip(text, path, text=text)) for text in (WONDERFUL, AWFUL))
    assert good.score > 0.8
    assert bad.score < -0.8


@pytest.mark.parametrize("off", ["text", "audio", "vision"])
def test_with_a_modality_off_it_is_less_sure(off: str, pocket: Pipeline, outcomes: dict[str, Outcome]) -> None:
    for name in ("positive", "negative", "vfr"):
        outcome = outcomes[name]
        rest = {modality: part for modality, part in outcome.features.items() if modality != off}
        assert _deviation(pocket, rest) > _deviation(pocket, outcome.features), name


def _deviation(pocket: Pipeline, features: dict[str, FeatureSequence]) -> float:
    """Of the score: the interval ends with the scale, so its width tells less near the ends."""
    return float(pocket.model.diagnostics(features)["deviation"])


def test_chinese_is_not_understood_and_that_is_said(pocket: Pipeline, outcomes: dict[str, Outcome]) -> None:
    clip = outcomes["positive"].clip
    whole = pocket.score(outcomes["positive"])
    outcome = next(pocket.run([replace(clip, id="zh", text="这部电影真的太好看了，我非常喜欢")]))
    found = pocket.score(outcome)
    assert "text" in found.missing
    assert width(found) > width(whole)
    assert any("English" in note for note in found.notes), found.notes


def test_a_score_that_may_be_of_either_sign_is_unclear(pocket: Pipeline) -> None:
    card = pocket.model.card
    assert card.label(0.8) == "positive"
    assert card.label(0.8, (-0.4, 2.0)) == "positive"
    assert card.label(0.8, (-0.6, 2.2)) == "unclear"
    assert card.label(0.1, (-0.4, 0.6)) == "neutral"
    assert card.label(-2.0, (-3.0, 0.3)) == "negative"


def test_scores_and_intervals_stay_on_the_scale(pocket: Pipeline, outcomes: dict[str, Outcome]) -> None:
    for outcome in outcomes.values():
        found = pocket.score(outcome)
        assert found.interval is not None
        assert -3 <= found.interval[0] <= found.score <= found.interval[1] <= 3
