"""Cues from inside the file."""

from __future__ import annotations

from pathlib import Path

from msapipe.stages.transcript.subtitles import Subtitles
from msapipe.types import Clip, MediaInfo, Word

CUES = (Word("<i>I love</i> it", 1.0, 3.0), Word("Bye", 4.0, 4.5))


def info(captions: tuple[Word, ...]) -> MediaInfo:
    return MediaInfo("mp4", None, None, 5.0, captions)


def test_none_without_captions() -> None:
    assert Subtitles().run(Clip("c", Path("c.mp4")), info(())) is None


def test_cues_become_words_with_estimated_times() -> None:
    transcript = Subtitles().run(Clip("c", Path("c.mp4")), info(CUES))
    assert transcript is not None
    assert transcript.source == "subtitles"
    assert [word.text for word in transcript.words] == ["I", "love", "it", "Bye"]
    assert (transcript.words[0].start, transcript.words[0].end) == (1.0, 1.0 + 2 / 7)
    assert transcript.words[2].end == 3.0
    assert all(word.estimated for word in transcript.words)


def test_a_span_gets_its_part() -> None:
    transcript = Subtitles().run(Clip("c", Path("c.mp4"), 2.5, 4.4), info(CUES))
    assert transcript is not None
    assert [word.text for word in transcript.words] == ["it", "Bye"]
    assert transcript.words[1].start == 1.5
    assert transcript.words[1].end == 4.4 - 2.5
    quiet = Subtitles().run(Clip("c", Path("c.mp4"), 3.1, 3.9), info(CUES))
    assert quiet is not None
    assert quiet.words == ()
