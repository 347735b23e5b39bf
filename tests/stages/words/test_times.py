"""Times that were given, and times that are spread."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msapipe.stages.words.given import Given
from msapipe.stages.words.spread import Spread
from msapipe.types import Clip, MediaInfo, Transcript, Word

TIMED = Transcript((Word("a", 0.0, 0.5), Word("b", 0.5, 1.0)), "en", "sidecar a.json")


def spread(words: tuple[Word, ...], seconds: float | None, start: float = 0.0, end: float | None = None) -> Transcript:
    clip = Clip("c", Path("c.mp4"), start, end)
    return Spread().run(Transcript(words, "en", "given"), clip, MediaInfo("mp4", None, None, seconds))


def test_given_times_are_kept() -> None:
    assert Given().run(TIMED) is TIMED
    assert Given().run(Transcript()) == Transcript()


@pytest.mark.parametrize("word", [Word("c"), Word("c", 1.0, 1.5, estimated=True)])
def test_a_word_without_heard_times_is_for_another_stage(word: Word) -> None:
    assert Given().run(Transcript((*TIMED.words, word))) is None


def test_spread_over_the_clip_by_letters() -> None:
    out = spread((Word("I"), Word("see,"), Word("you")), 7.0)
    assert [(word.start, word.end) for word in out.words] == [(0, 1), (1, 4), (4, 7)]
    assert all(word.estimated for word in out.words)
    assert (out.language, out.source) == ("en", "given")


@pytest.mark.parametrize(
    ("seconds", "start", "end", "want"),
    [
        (10.0, 4.0, None, 6.0),
        (10.0, 4.0, 5.0, 1.0),
        (None, 2.0, 5.0, 3.0),
        (None, 0.0, None, 0.8),
        (1e16, 0, None, 0.8),
    ],
)
def test_the_length_of_the_clip(seconds: float | None, start: float, end: float | None, want: float) -> None:
    assert spread((Word("ab"), Word("cd")), seconds, start, end).words[-1].end == pytest.approx(want)


def test_gaps_between_known_words_are_filled() -> None:
    words = (Word("x"), Word("a", 1.0, 2.0), Word("y"), Word("z"), Word("b", 4.0, 5.0, estimated=True), Word("w"))
    out = spread(words, 6.0)
    assert [(word.start, word.end) for word in out.words] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]
    assert [word.estimated for word in out.words] == [True, False, True, True, True, True]


def test_a_gap_between_words_that_overlap_has_no_length() -> None:
    out = spread((Word("a", 0.0, 5.0), Word("x"), Word("b", 3.0, 6.0)), 9.0)
    assert [(word.start, word.end) for word in out.words] == [(0, 5), (3, 3), (3, 6)]


def test_words_after_the_declared_end_still_get_time() -> None:
    out = spread((Word("a", 1.0, 2.0), Word("b")), 1.5)
    assert (out.words[1].start, out.words[1].end) == (2.0, 2.4)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=5), st.none() | st.floats(0.001, 3)), max_size=15),
    st.none() | st.floats(-5, 100),
)
def test_every_word_has_ordered_times(parts: list[tuple[str, float | None]], seconds: float | None) -> None:
    words, now = [], 0.0
    for text, length in parts:
        words.append(Word(text) if length is None else Word(text, now, now + length))
        now += length or 0.0
    out = spread(tuple(words), seconds).words
    assert [word.text for word in out] == [word.text for word in words]
    starts = [word.start for word in out]
    assert None not in starts
    assert starts == sorted(starts, key=lambda start: start or 0.0)
