"""Words beside the clip, in every form that people write them."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msapipe.sidecars import SUFFIXES, sidecar_of
from msapipe.stages.transcript.sidecar import Sidecar
from msapipe.types import Clip, MediaInfo, PassedOver, Transcript

INFO = MediaInfo("mp4", "h264 25 fps", "aac", 60.0, rate=25.0)
SRT = """1
00:00:01,000 --> 00:00:02,000
<i>Hello</i> there

2
00:00:03,500 --> 00:00:04,000
{\\an8}Good &amp; bad
"""
VTT = """WEBVTT
Language: en-GB

NOTE nobody says this

STYLE
::cue { color: red }

first
00:01.000 --> 00:02.000 align:start
<v Anna>Hello <b>there</b>

00:00:03.500 --> 00:00:04.000
Good &amp; bad
"""


def read(folder: Path, name: str, content: str | bytes, start: float = 0.0, end: float | None = None) -> Transcript:
    transcript = maybe(folder, name, content, start, end)
    assert isinstance(transcript, Transcript), transcript
    return transcript


def maybe(
    folder: Path, name: str, content: str | bytes, start: float = 0.0, end: float | None = None
) -> Transcript | PassedOver | None:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return Sidecar().run(Clip("clip", folder / "clip.mp4", start, end), INFO)


def times(transcript: Transcript) -> list[tuple[str, float | None, float | None, bool]]:
    return [(word.text, word.start, word.end, word.estimated) for word in transcript.words]


def test_given_text_comes_first(tmp_path: Path) -> None:
    (tmp_path / "clip.txt").write_text("other words")
    transcript = Sidecar().run(Clip("clip", tmp_path / "clip.mp4", 2.0, 3.0, "these words"), INFO)
    assert isinstance(transcript, Transcript)
    assert (transcript.text, transcript.source) == ("these words", "given")


@pytest.mark.parametrize(("name", "content", "language"), [("clip.srt", SRT, None), ("clip.vtt", VTT, "en")])
def test_cues(tmp_path: Path, name: str, content: str, language: str | None) -> None:
    transcript = read(tmp_path, name, content)
    middle = 3.5 + 0.5 / 7 * 4
    assert times(transcript) == [
        ("Hello", 1.0, 1.5, True),
        ("there", 1.5, 2.0, True),
        ("Good", 3.5, middle, True),
        ("&", middle, middle, True),
        ("bad", middle, 4.0, True),
    ]
    assert (transcript.source, transcript.language) == (f"sidecar {name}", language)


def test_cues_are_cut_and_shifted_to_the_span(tmp_path: Path) -> None:
    transcript = read(tmp_path, "clip.srt", SRT, 1.4, 3.6)
    # "Hello" (1.0-1.5) has its middle outside; "Good" is cut at neither end; "bad" begins too late.
    assert [word.text for word in transcript.words] == ["there"]
    assert transcript.words[0].start == pytest.approx(0.1)
    assert transcript.words[0].end == pytest.approx(0.6)
    assert read(tmp_path, "clip.srt", SRT, 2.2, 3.2).words == ()


def test_neighbouring_clips_share_no_word_and_lose_none(tmp_path: Path) -> None:
    edges = [0.0, 1.2, 1.77, 3.6, 3.9, 9.0]
    texts = [read(tmp_path, "clip.srt", SRT, a, b).text for a, b in pairwise(edges)]
    assert " ".join(" ".join(texts).split()) == "Hello there Good & bad"


@pytest.mark.parametrize(
    "data",
    [
        SRT.encode(),
        SRT.replace("\n", "\r\n").encode("utf-8-sig"),
        SRT.encode("utf-16"),
        SRT.encode("utf-16-be").join([b"\xfe\xff", b""]),
        SRT.rstrip("\n").encode(),
        b"\n\n" + SRT.encode(),
    ],
)
def test_encodings_and_line_ends(tmp_path: Path, data: bytes) -> None:
    assert read(tmp_path, "clip.srt", data).text == "Hello there Good & bad"


def test_latin_1(tmp_path: Path) -> None:
    assert read(tmp_path, "clip.txt", "déjà vu".encode("latin-1")).text == "déjà vu"


def test_word_list(tmp_path: Path) -> None:
    words = [
        {"word": "Hi", "start": 0.5, "end": 0.9, "confidence": 0.7},
        {"text": " you ", "start": 1, "end": 1.5, "score": 7},
    ]
    transcript = read(tmp_path, "clip.json", json.dumps(words))
    assert times(transcript) == [("Hi", 0.5, 0.9, False), ("you", 1.0, 1.5, False)]
    assert [word.confidence for word in transcript.words] == [0.7, 1.0]


def test_whisper(tmp_path: Path) -> None:
    tree = {
        "text": "Hi you all",
        "language": "english",
        "segments": [
            {"start": 0, "end": 2, "text": " Hi", "words": [{"word": " Hi", "start": 0.1, "end": 0.4}]},
            {"start": 2, "end": 4, "text": " you all"},
        ],
    }
    transcript = read(tmp_path, "clip.json", json.dumps(tree))
    assert transcript.language == "en"
    assert times(transcript) == [("Hi", 0.1, 0.4, False), ("you", 2.0, 3.0, True), ("all", 3.0, 4.0, True)]
    assert read(tmp_path, "clip.json", '{"text": "only this"}').text == "only this"


def test_a_text_without_times_needs_the_whole_file(tmp_path: Path) -> None:
    assert read(tmp_path, "clip.txt", "one two").text == "one two"
    for span in ((0.0, 1.0), (1.0, None)):
        passed = maybe(tmp_path, "clip.txt", "one two", *span)
        assert isinstance(passed, PassedOver)
        assert "no times" in passed.notes[0]


def test_a_word_without_times_goes_with_the_one_before(tmp_path: Path) -> None:
    words = '[{"word": "a", "start": 0, "end": 1}, {"word": "42"}, {"word": "b", "start": 2, "end": 3}]'
    assert read(tmp_path, "clip.json", words, 0.0, 1.5).text == "a 42"
    assert read(tmp_path, "clip.json", words, 1.5, 3.5).text == "b"


@pytest.mark.parametrize("name", ["clip.json", "clip.vtt", "clip.srt", "clip.txt"])
@pytest.mark.parametrize("content", [b"", b" \r\n", b"\xef\xbb\xbf", "\n".encode("utf-16")])
def test_an_empty_file_says_nothing(tmp_path: Path, name: str, content: bytes) -> None:
    assert maybe(tmp_path, name, content) is None


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("clip.json", '[\n{"word": }]', "line 2"),
        ("clip.json", '{"a": 1}', "line 1"),
        ("clip.json", '{"title": "a film", "duration": 3, "categories": ["x"]}', "line 1"),
        ("clip.json", "[" * 100_000, "line 1"),
        ("clip.json", "[3, 4]", "entry 0"),
        ("clip.vtt", "WEBVTT\n\nno times at all", "line 1"),
        ("clip.srt", "1\n00:00:01,000\nHi", "line 1"),
        ("clip.ass", "[Script Info]\nTitle: x", "line 1"),
        ("clip.ttml", "<tt xmlns='http://www.w3.org/ns/ttml'><body>", "line 1"),
        ("clip.ttml", "<!DOCTYPE x [<!ENTITY a 'b'>]><tt/>", "document type"),
        ("clip.xml", "<html/>", "line 1"),
        ("clip.tsv", "a\tb\nc\td", "line 1"),
        ("clip.txt", b"binary \0 data", "line 1"),
        ("clip.txt", b"word " * 200_001, "200001 words"),
        ("clip.srt", b"1\n00:00:01,000 --> 00:00:02,000\n" + b"[" * 3_000_000, "a word of 3000000 letters"),
        ("clip.txt", b"x" * 4_000_001, "larger than 4 MB"),
        ("clip.srt", bytes(range(128, 256)) * 3, "encoding"),
        ("clip.scc", "Scenarist_SCC V1.0", "convert it to .srt"),
    ],
)
def test_what_cannot_be_read_is_a_note_with_its_place(
    tmp_path: Path, name: str, content: str | bytes, where: str
) -> None:
    passed = maybe(tmp_path, name, content)
    assert isinstance(passed, PassedOver)
    assert where in passed.notes[0]
    assert name in passed.notes[0]
    if name == "clip.scc":
        return
    (tmp_path / "clip.mp4.srt").write_text(SRT)  # the next source
    found = Sidecar().run(Clip("clip", tmp_path / "clip.mp4"), INFO)
    assert isinstance(found, Transcript)
    assert found.text == "Hello there Good & bad"
    assert where in found.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "text", "where"),
    [
        ("clip.json", '[{"word": "a", "start": 2, "end": 1}, {"word": "b"}]', "a b", "entry 0"),
        ("clip.json", '[{"word": "a", "start": NaN, "end": 1}]', "a", "entry 0"),
        ("clip.json", f'[{{"word": "a", "start": 1{"0" * 400}, "end": 1}}]', "a", "entry 0"),
        ("clip.json", '{"words": [{"word": "a"}, 3]}', "a", "words[1]"),
        ("clip.srt", SRT + "\n3\n00:00:09,000 --> 00:00:08,000\nHi", "Hello there Good & bad Hi", "line 10"),
        ("clip.srt", SRT + "\n3\n00:00:0x,000 --> 00:00:02,000\nHi", "Hello there Good & bad Hi", "line 10"),
        ("clip.tsv", "start\tend\ttext\n300\t900\tgood\nx\ty\tz\n", "good", "line 3"),
    ],
)
def test_a_damaged_file_is_read_in_part_with_its_place(
    tmp_path: Path, name: str, content: str, text: str, where: str
) -> None:
    found = read(tmp_path, name, content)
    assert found.text == text
    assert where in found.notes[0]


def test_which_file_counts(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    assert sidecar_of(clip) is None
    for name in ("clip.mp4.txt", "clip.mp4.srt", "clip.txt", "clip.srt", "clip.vtt", "clip.json"):
        (tmp_path / name).write_text("x")
        found = sidecar_of(clip)
        assert found is not None
        assert found.name == name  # each comes before the ones that lay there already


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.json")
    (tmp_path / "clip.vtt").mkdir()
    (tmp_path / "clip.srt").symlink_to(tmp_path / "clip.srt")
    (tmp_path / "clip.txt").write_text("words")
    assert sidecar_of(tmp_path / "clip.mp4") == tmp_path / "clip.txt"  # first: reading a FIFO would wait for ever
    transcript = Sidecar().run(Clip("clip", tmp_path / "clip.mp4"), INFO)
    assert isinstance(transcript, Transcript)
    assert transcript.source == "sidecar clip.txt"


def test_a_file_is_not_its_own_sidecar(tmp_path: Path) -> None:
    (tmp_path / "clip.txt").write_text("x")
    assert sidecar_of(tmp_path / "clip.txt") is None


MARKS = [
    *("[Events]", "Dialogue: 0,0:00:01.00,0:00:02.00,,,0,0,0,,Hi", "<tt>", "<body><p begin='1s'>Hi</p></body></tt>"),
    *("<SYNC Start=100><P Class=ENCC>Hi", "{1}{25}Hi", "[10][20]Hi", "[00:01.00]Hi", "0:00:01.0,0:00:02.0", "1\t2\tx"),
    *('{"words": [{"word": "a", "start": "1s"}]}', '{"events": [{"tStartMs": 1, "segs": [{"utf8": "a"}]}]}'),
]


@settings(max_examples=200, deadline=None)
@given(
    suffix=st.sampled_from(list(SUFFIXES)),
    lines=st.lists(
        st.one_of(
            st.text(max_size=12),
            st.sampled_from(["WEBVTT", "", "1", "00:01.000 --> 00:02.000", "[", "{}", "]", *MARKS]),
        ),
        max_size=8,
    ),
)
def test_any_text_gives_words_or_a_named_note(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, lines: list[str]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    found = maybe(folder, f"clip{suffix}", "\n".join(lines).encode("utf-8", "surrogatepass"))
    if isinstance(found, PassedOver):
        assert f"clip{suffix}" in found.notes[0]
