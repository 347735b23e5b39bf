"""Words against VADER itself and against its lexicon."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msapipe.errors import ConfigError
from msapipe.stages.text.lexicon import NAMES, Lexicon
from msapipe.types import Transcript, Word


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    stage = Lexicon()
    stage.load("cpu")
    return stage


def said(text: str, language: str | None = "en") -> Transcript:
    words = tuple(Word(word, i * 0.4, i * 0.4 + 0.3) for i, word in enumerate(text.split()))
    return Transcript(words, language)


def column(stage: Lexicon, transcript: Transcript, name: str) -> list[float]:
    return [float(value) for value in stage.run(transcript).values[:, NAMES.index(name)]]


def test_valence_is_the_lexicons(lexicon: Lexicon) -> None:
    valence = column(lexicon, said("The story was good. I hate it"), "valence")
    assert valence == pytest.approx([0, 0, 0, 1.9, 0, -2.7, 0])


def test_context_negates_and_boosts(lexicon: Lexicon) -> None:
    name = "valence_in_context"
    assert column(lexicon, said("not good"), name)[1] == pytest.approx(1.9 * -0.74)
    assert column(lexicon, said("very good"), name)[1] == pytest.approx(1.9 + 0.293)
    assert column(lexicon, said("I don’t like it"), name)[2] == pytest.approx(1.5 * -0.74)


def test_a_word_of_several_stays_in_range(lexicon: Lexicon) -> None:
    row = lexicon.run(Transcript((Word("love great VERY WONDERFUL", 0, 1),))).values[0]
    assert row[:2].tolist() == [4, 4]


def test_flags(lexicon: Lexicon) -> None:
    text = said("never very kind of no isn't slightly good")
    assert column(lexicon, text, "negator") == [1, 0, 0, 0, 1, 1, 0, 0]
    assert column(lexicon, text, "booster") == [0, 1, -1, -1, 0, 0, -1, 0]


TRICKY = (
    "not",
    "good",
    "BAD",
    "but",
    "very",
    "no",
    "kind",
    "of",
    "never",
    "so",
    "this",
    "without",
    "doubt",
    "the",
    "shit",
)
TEXTS = [
    "VADER is VERY SMART, uber handsome, and FRIGGIN FUNNY!!!",
    "The plot was good, but the characters are uncompelling and the dialog is not great.",
    "Catch utf-8 emoji such as 💘 and 💋 and 😁",
    "At least it isn't a horrible book.",
    "Sentiment analysis has never been this good!",
    "Without a doubt, an excellent idea.",
    "Roger Dodger is one of the least compelling variations on this theme.",
    "Other tools, on the other hand, can be quite bad ass or the bomb, kind of",
]


@pytest.mark.parametrize("text", TEXTS)
def test_whole_text_is_scored_as_by_vader(lexicon: Lexicon, text: str) -> None:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    scores = SentimentIntensityAnalyzer().polarity_scores(text)
    row = lexicon.run(said(text)).values[0]
    assert row[NAMES.index("text_compound")] == pytest.approx(scores["compound"])
    for name in ("compound", "pos", "neu", "neg"):  # each text is one sentence
        assert row[NAMES.index(name)] == pytest.approx(scores[name])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(TRICKY)))
def test_any_words_are_scored_as_by_vader(words: list[str]) -> None:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    stage = Lexicon()
    stage.load("cpu")
    text = " ".join(words)
    features = stage.run(said(text))
    assert features.values.shape == (len(words), 9)
    if words:
        want = SentimentIntensityAnalyzer().polarity_scores(text)["compound"]
        assert features.values[0, NAMES.index("text_compound")] == pytest.approx(want)


def test_sentences_end_at_marks(lexicon: Lexicon) -> None:
    compound = column(lexicon, said("Dr. Smith was great! It was awful."), "compound")
    assert compound[0] == compound[3] > 0.5
    assert compound[4] == compound[6] < -0.4


def test_sentences_end_at_pauses_when_there_are_no_marks(lexicon: Lexicon) -> None:
    def pair(pause: float, estimated: bool) -> list[float]:
        words = Word("great", 0, 0.5), Word("awful", 0.5 + pause, 1.5 + pause, estimated=estimated)
        return column(lexicon, Transcript(words), "compound")

    apart = pair(0.7, estimated=False)
    assert apart[0] > 0 > apart[1]
    for together in (pair(0.5, estimated=False), pair(0.7, estimated=True)):
        assert together[0] == together[1]


def test_times_never_run_backwards(lexicon: Lexicon) -> None:
    words = Word("one", 1.0, 2.0), Word("two", 0.5, 0.8), Word("three", 2.0, 2.0)
    times = lexicon.run(Transcript(words)).times
    assert times.tolist() == [[1.0, 2.0], [1.0, 1.0], [2.0, 2.0]]


def test_another_language_is_not_understood(lexicon: Lexicon) -> None:
    features = lexicon.run(said("das ist gut", "de"))
    assert features.values.shape == (3, 9)
    assert not features.valid.any()


def test_no_words(lexicon: Lexicon) -> None:
    assert lexicon.run(Transcript()).values.shape == (0, 9)


def test_long_texts_are_not_looked_at_again_for_every_word(lexicon: Lexicon) -> None:
    import time

    began = time.process_time()
    lexicon.run(said("good bad story but it was not really that much fun at all " * 300))
    assert time.process_time() - began < 5  # VADER's own loop takes half a minute


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=12))
def test_any_text_gives_a_finite_row_per_word(texts: list[str]) -> None:
    stage = Lexicon()
    stage.load("cpu")
    words = tuple(Word(text, float(i), i + 1.0) for i, text in enumerate(texts))
    features = stage.run(Transcript(words))
    assert features.values.shape == (len(texts), 9)
    assert np.abs(features.values[:, :2]).max(initial=0) <= 4
    assert np.abs(features.values[:, 4:]).max(initial=0) <= 1


@pytest.mark.parametrize("pause", [0.0, -1.0, 100.0, float("nan")])
def test_an_impossible_pause_is_refused(pause: float) -> None:
    with pytest.raises(ConfigError, match="pause"):
        Lexicon(pause=pause)
