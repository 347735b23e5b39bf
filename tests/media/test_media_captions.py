"""Embedded subtitles, and the lines that describe a file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import pytest
from av.stream import Disposition
from hypothesis import given
from hypothesis import strategies as st

from msapipe.media import Decoder
from msapipe.media._captions import plain
from tests.media.making import corner, sine, write_sound, write_video

CUES = [(0.5, 1.25, "Hello <i>you</i>"), (1.5, 2.0, "two\nlines"), (2.0, 3.0, "{\\an8}Größe 大")]


def write_subtitled(path: Path, codec: str) -> Path:
    """A video of three seconds with CUES as its text subtitle stream."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        text = container.add_stream(codec)
        cast(Any, text.codec_context).subtitle_header = b"[Script Info]\n"
        for _ in range(30):
            container.mux(video.encode(av.VideoFrame.from_ndarray(corner(), format="rgb24")))
        container.mux(video.encode(None))
        for start, end, said in CUES:
            packet = av.Packet(said.encode())
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = round(start * 1000)
            packet.duration = round((end - start) * 1000)
            container.mux(packet)
    return path


def test_subrip_in_mkv(decoder: Decoder, tmp_path: Path) -> None:
    (track,) = decoder.probe(write_subtitled(tmp_path / "a.mkv", "subrip")).captions
    cues = track.cues
    assert [cue.text for cue in cues] == ["Hello you", "two\nlines", "Größe 大"]
    for cue, (start, end, _) in zip(cues, CUES, strict=True):
        assert (cue.start, cue.end) == pytest.approx((start, end), abs=2e-3)


def test_mov_text_of_a_real_clip(decoder: Decoder, shared: Path) -> None:
    info = decoder.probe(shared / "badmedia/real/030/nasa_13013.mp4")
    cue = info.captions[0].cues[0]
    assert " ".join(cue.text.split()).startswith("NAR: This is the optical and science segment")
    assert (cue.start, cue.end) == pytest.approx((0.21, 4.26))
    assert [note.split(";")[0] for note in info.notes] == ["2 video streams"]


def test_bitmap_subtitles_are_left_out_and_said(decoder: Decoder, shared: Path) -> None:
    info = decoder.probe(shared / "badmedia/real/037/sample_with_pgs_subtitles.mkv")
    assert info.captions == ()
    assert "The subtitles are pictures" in info.notes[0]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (rb"0,0,Default,,0,0,0,,{\i1}Well{\i0}, yes,\Nno", "Well, yes,\nno"),
        (rb"0,0,Default,,0,0,0,,a\hb  c", "a b c"),
        (b"0,0,Default,,0,0,0,,bad \xff byte", "bad \ufffd byte"),
        (rb"0,0,Default,,0,0,0,,{\an7\p1}m 0 0 l 100 0 100 20{\p0}", ""),
        (rb"0,0,Default,,0,0,0,,{\p1}m 0 0{\p0}words", "words"),
        (b"", ""),
    ],
)
def test_plain_text(event: bytes, said: str) -> None:
    assert plain(event) == said


@given(st.binary(max_size=60))
def test_plain_text_takes_anything(event: bytes) -> None:
    assert isinstance(plain(event), str)


def test_lines(decoder: Decoder, tmp_path: Path, shared: Path) -> None:
    info = decoder.probe(shared / "media/speech/grid_swwp2s.mpg")
    assert (info.video, info.audio) == ("mpeg1video 360x288 25.00 fps", "mp2 44100 Hz 2 channels")
    assert info.seconds == pytest.approx(2.98, abs=0.05)
    info = decoder.probe(write_sound(tmp_path / "a.wav", sine(2)))
    assert (info.format, info.video, info.seconds) == ("wav", None, 2.0)


def test_cover_art_is_no_video(decoder: Decoder, shared: Path) -> None:
    info = decoder.probe(shared / "badmedia/real/024/with-attached-pic.mp3")
    assert info.video is None
    assert info.audio


def test_cut_short_is_said(decoder: Decoder, tmp_path: Path) -> None:
    for name, keep in (("a.wav", 40_000), ("b.mkv", 20_000)):
        if name.endswith("wav"):
            path = write_sound(tmp_path / name, sine())
        else:
            path = write_video(tmp_path / name, [i / 25 for i in range(50)], sound=sine())
        lost = path.stat().st_size - keep
        with open(path, "r+b") as file:
            file.truncate(keep)
        assert f"The file is cut short: {lost} bytes" in decoder.probe(path).notes[0]


def test_flags_and_languages_of_every_stream_are_read(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    marks = [("fre", Disposition.default, ""), ("eng", Disposition.forced, ""), ("eng", Disposition(0), "Commentary")]
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        texts = []
        for language, mark, title in marks:
            text = container.add_stream("subrip")
            cast(Any, text.codec_context).subtitle_header = b"[Script Info]\n"
            text.metadata.update({"language": language, "title": title})
            text.disposition = mark
            texts.append(text)
        for _ in range(30):
            container.mux(video.encode(av.VideoFrame.from_ndarray(corner(), format="rgb24")))
        container.mux(video.encode(None))
        for number, text in enumerate(texts):
            packet = av.Packet(f"words {number}".encode())
            packet.stream, packet.time_base, packet.pts, packet.dts, packet.duration = (
                text,
                Fraction(1, 1000),
                500,
                500,
                900,
            )
            container.mux(packet)
    info = decoder.probe(path)
    assert info.rate == 10
    assert [track.cues[0].text for track in info.captions] == ["words 0", "words 1", "words 2"]
    assert [(t.language, t.default, t.forced, t.commentary) for t in info.captions] == [
        ("fr", True, False, False),
        ("en", False, True, False),
        ("en", False, False, True),
    ]


def test_the_length_of_a_file_that_declares_none(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with open(path, "wb") as file:  # as a recorder does, which cannot go back to write the length

        class Pipe:
            def write(self, data: bytes) -> int:
                return file.write(data)

        with av.open(cast(Any, Pipe()), "w", format="matroska") as container:
            video = container.add_stream("mpeg4", rate=10)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for _ in range(30):
                container.mux(video.encode(av.VideoFrame.from_ndarray(corner(), format="rgb24")))
            container.mux(video.encode(None))
    with av.open(str(path)) as container:
        assert not container.duration
    assert decoder.probe(path).seconds == pytest.approx(3.0, abs=0.11)
