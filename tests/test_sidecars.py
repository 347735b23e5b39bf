"""Names of files with words, as people and downloaders give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from msapipe.sidecars import sidecars_of
from msapipe.stages.transcript.sidecar import Sidecar
from msapipe.types import Clip, MediaInfo, PassedOver, Transcript

INFO = MediaInfo("mp4", None, None, 60.0)


def take(clip: Path, **names: str) -> Transcript | PassedOver | None:
    for name, text in names.items():
        (clip.parent / name).write_text(f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n")
    return Sidecar().run(Clip("c", clip), INFO)


@pytest.mark.parametrize(
    ("name", "language", "automatic"),
    [
        ("clip.en.vtt", "en", False),
        ("clip.en-US.srt", "en", False),
        ("clip.eng.ass", "en", False),
        ("clip.English.srt", "en", False),
        ("clip.en.auto.vtt", "en", True),
        ("clip.en-orig.vtt", "en", True),
        ("clip.zh-Hans.srt", "zh", False),
        ("clip.pt_BR.srt", "pt", False),
        ("clip.en.sdh.srt", "en", False),
        ("clip.mp4.en.srt", "en", False),
        ("clip.mp4.srt", None, False),
        ("clip.SRT", None, False),
        ("clip.whisper.json", None, False),
        ("clip.en.json3", "en", False),
    ],
)
def test_names_as_downloaders_give_them(tmp_path: Path, name: str, language: str | None, automatic: bool) -> None:
    (tmp_path / name).write_text("x")
    (found,) = sidecars_of(tmp_path / "clip.mp4")
    assert (found.path.name, found.language, found.automatic) == (name, language, automatic)


@pytest.mark.parametrize("name", ["clip.info.json", "clip.live_chat.json", "clip2.srt", "clip.final.srt", "clip.md"])
def test_names_of_other_things(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    assert sidecars_of(tmp_path / "clip.mp4") == []


def test_names_with_brackets_and_in_another_unicode_form(tmp_path: Path) -> None:
    (tmp_path / "My talk [abc].en-US.srt").write_text("x")
    (tmp_path / "cafe\u0301.srt").write_text("x")
    assert [found.language for found in sidecars_of(tmp_path / "My talk [abc].mp4")] == ["en"]
    assert len(sidecars_of(tmp_path / "caf\u00e9.mp4")) == 1


def test_of_several_languages_the_pipeline_s_is_read_and_it_is_said(tmp_path: Path) -> None:
    found = take(tmp_path / "clip.mp4", **{"clip.de.srt": "schlecht", "clip.en.srt": "bad", "clip.fr.srt": "mal"})
    assert isinstance(found, Transcript)
    assert (found.text, found.language) == ("bad", "en")
    assert found.notes == ("sidecars in 3 languages (English, French, German): clip.en.srt was read",)
    german = Sidecar("de").run(Clip("c", tmp_path / "clip.mp4"), INFO)
    assert isinstance(german, Transcript)
    assert german.text == "schlecht"


@pytest.mark.parametrize("worse", ["clip.en.auto.vtt", "clip.en.forced.srt", "clip.en.commentary.srt", "clip.de.srt"])
def test_what_people_wrote_of_the_speech_comes_first(tmp_path: Path, worse: str) -> None:
    found = take(tmp_path / "clip.mp4", **{worse: "worse", "clip.en.srt": "better"})
    assert isinstance(found, Transcript)
    assert found.text == "better"


@pytest.mark.parametrize("name", ["clip.forced.srt", "clip.en.commentary.srt", "clip.fr.srt"])
def test_a_file_that_does_not_say_the_speech_is_a_note(tmp_path: Path, name: str) -> None:
    found = take(tmp_path / "clip.mp4", **{name: "words"})
    assert isinstance(found, PassedOver)
    assert name in found.notes[0]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret words")
    home = tmp_path / "home"
    home.mkdir()
    (home / "clip.txt").symlink_to(secret)
    found = Sidecar().run(Clip("c", home / "clip.mp4"), INFO)
    assert isinstance(found, PassedOver)
    assert "link" in found.notes[0]
    assert "secret words" not in found.notes[0]


def test_a_link_within_the_folder_and_beside_a_linked_clip_is_followed(tmp_path: Path) -> None:
    store, home = tmp_path / "store", tmp_path / "home"
    for folder in (store, home):
        folder.mkdir()
    (store / "clip.mp4").write_bytes(b"")
    (store / "clip.txt").write_text("stored words")
    (home / "clip.mp4").symlink_to(store / "clip.mp4")
    (home / "clip.txt").symlink_to(store / "clip.txt")
    found = Sidecar().run(Clip("c", home / "clip.mp4"), INFO)
    assert isinstance(found, Transcript)
    assert found.text == "stored words"
