"""Cues from inside the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from msapipe.errors import ConfigError
from msapipe.stages.transcript.subtitles import Subtitles
from msapipe.types import CaptionTrack, Clip, MediaInfo, PassedOver, Transcript, Word

CUES = (Word("<i>I love</i> it", 1.0, 3.0), Word("Bye", 4.0, 4.5))


def info(captions: tuple[Word, ...], *more: CaptionTrack) -> MediaInfo:
    own = (CaptionTrack(0, captions),) if captions else ()
    return MediaInfo("mp4", None, None, 5.0, (*own, *more))


def run(*tracks: CaptionTrack, language: str = "en") -> Transcript | PassedOver | None:
    return Subtitles(language).run(Clip("c", Path("c.mp4")), info((), *tracks))


def test_none_without_captions() -> None:
    assert Subtitles().run(Clip("c", Path("c.mp4")), info(())) is None


def test_cues_become_words_with_estimated_times() -> None:
    transcript = Subtitles().run(Clip("c", Path("c.mp4")), info(CUES))
    assert isinstance(transcript, Transcript)
    assert transcript.source == "subtitles"
    assert [word.text for word in transcript.words] == ["I", "love", "it", "Bye"]
    assert (transcript.words[0].start, transcript.words[0].end) == (1.0, 1.0 + 2 / 7)
    assert transcript.words[2].end == 3.0
    assert all(word.estimated for word in transcript.words)


def test_a_span_gets_its_part() -> None:
    transcript = Subtitles().run(Clip("c", Path("c.mp4"), 2.5, 4.4), info(CUES))
    assert isinstance(transcript, Transcript)
    assert [word.text for word in transcript.words] == ["it", "Bye"]
    assert transcript.words[1].start == 1.5
    assert transcript.words[1].end == 4.4 - 2.5
    quiet = Subtitles().run(Clip("c", Path("c.mp4"), 3.1, 3.9), info(CUES))
    assert isinstance(quiet, Transcript)
    assert quiet.words == ()


GOOD = (Word("I love this film", 1.0, 3.0),)
BAD = (Word("I hate this film", 1.0, 3.0),)
FRENCH = (Word("je ne suis pas là et vous êtes dans la maison pour une heure", 1.0, 3.0),)


@pytest.mark.parametrize(
    ("other", "note"),
    [
        (CaptionTrack(1, GOOD, "en", default=True, forced=True), "stream 2 is read"),
        (CaptionTrack(1, GOOD, "en", default=True, commentary=True), "stream 2 is read"),
        (CaptionTrack(1, GOOD, "fr", default=True), "stream 2 is read"),
        (CaptionTrack(1, GOOD, default=True), "2 subtitle streams"),
        (CaptionTrack(1, GOOD, "en", default=True, hearing_impaired=True), "2 subtitle streams"),
        (CaptionTrack(1, GOOD, "en"), "2 subtitle streams"),
    ],
)
def test_the_stream_of_what_is_spoken_is_read(other: CaptionTrack, note: str) -> None:
    found = run(other, CaptionTrack(2, BAD, "en", default=not other.default))
    assert isinstance(found, Transcript)
    assert found.text == "I hate this film"
    assert any(note in one for one in found.notes)


@pytest.mark.parametrize(
    "track",
    [
        CaptionTrack(1, GOOD, "en", forced=True),
        CaptionTrack(1, GOOD, "en", commentary=True),
        CaptionTrack(1, GOOD, "zh"),
        CaptionTrack(1, FRENCH),
        CaptionTrack(1, (Word("我真的很讨厌", 1.0, 3.0),)),
        CaptionTrack(1, (Word("I hate it", 50.0, 52.0),)),
    ],
)
def test_what_does_not_fit_leaves_the_speech_to_the_next_source(track: CaptionTrack) -> None:
    found = run(track)
    assert isinstance(found, PassedOver)
    assert "stream 1" in found.notes[0]


def test_any_language_and_another_one() -> None:
    for language in ("", "fr"):
        found = run(CaptionTrack(1, FRENCH, "fr"), language=language)
        assert isinstance(found, Transcript)
        assert found.language == "fr"
    with pytest.raises(ConfigError, match="klingon"):
        Subtitles("klingon")


def test_words_after_the_end_do_not_count_and_it_is_said() -> None:
    found = run(CaptionTrack(1, (*BAD, Word("so happy", 20.0, 22.0))))
    assert isinstance(found, Transcript)
    assert (found.text, len(found.notes)) == ("I hate this film", 1)
    assert "2 words" in found.notes[0]
