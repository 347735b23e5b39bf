"""Files that are no media are refused by name, quickly, and without opening anything else."""

from __future__ import annotations

import io
import os
import socket
import zipfile
from pathlib import Path

import pytest

from msapipe.errors import NotMedia
from msapipe.media import Decoder, check_regular_file
from tests.media.making import sine, write_sound, write_video


def archive() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("clip.mp4", b"x" * 100)
    return data.getvalue()


OTHER = {
    "text": (b"This is not a video.\n" * 20, "a text file"),
    "html": (b"<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>", "an HTML page.*refused"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1\n", "git lfs pull"),
    "zip": (archive(), "a zip archive"),
    "empty": (b"", "empty"),
    "zeros": (bytes(100_000), "zero bytes"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(50), "nothing in it can be decoded"),
    "random": (bytes(os.urandom(65536)), "no video or sound|neither|nothing in it"),
    "headless mp4": (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41\0\0\xff\xffmdat" + bytes(999), "cut short.*moov"),
    "mpd": (b'<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1:9/x</BaseURL></MPD>', "DASH playlist.*refused"),
    "sdp": (b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\n", "session description.*refused"),
    "pls": (b"[playlist]\nFile1=a.mp4\n", "playlist.*refused"),
}


@pytest.mark.parametrize("kind", OTHER)
def test_other_things_named_mp4(decoder: Decoder, tmp_path: Path, kind: str) -> None:
    data, said = OTHER[kind]
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    with pytest.raises(NotMedia, match=said) as caught:
        decoder.probe(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile 'real.mp4'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.0,\nreal.mp4\n#EXT-X-ENDLIST\n",
        "\n \ufeff#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nreal.mp4\n",
    ],
)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8", "clip.ts"])
def test_playlists_open_no_other_file(decoder: Decoder, tmp_path: Path, text: str, name: str) -> None:
    write_video(tmp_path / "real.mp4", [0.0, 0.04])
    before = os.stat(tmp_path / "real.mp4").st_atime_ns
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(NotMedia, match=r"playlist|text file"):
        decoder.probe(path)
    assert os.stat(tmp_path / "real.mp4").st_atime_ns == before


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "dangling.mp4").symlink_to("missing")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "device.mp4").symlink_to("/dev/zero")
    cases = {
        "folder.mp4": "a folder",
        "pipe.mp4": "FIFO",
        "dangling.mp4": "'missing', which does not exist",
        "loop.mp4": "back to itself",
        "device.mp4": "a device",
        "absent.mp4": "no such file",
        "x" * 300 + ".mp4": "too long",
        "nul\0byte.mp4": "null",
    }
    for name, said in cases.items():  # opening the pipe would wait for ever
        with pytest.raises(NotMedia, match=said) as caught:
            check_regular_file(tmp_path / name)
        assert name in str(caught.value)


def test_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the address of a socket may be short only
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("sock.mp4")
        with pytest.raises(NotMedia, match="a socket"):
            check_regular_file(Path("sock.mp4"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", sine())
    path.chmod(0)
    with pytest.raises(NotMedia, match="permission"):
        check_regular_file(path)


NAMES = [
    "-i.mp4",
    "--help.mp4",
    "a b  c.mp4",
    "new\nline.mp4",
    "smile_😀_日本語_é.mp4",
    "x" * 250 + ".mp4",
    "%03d.mp4",
    "*.mp4",
    "$(touch pwned).mp4",
    "concat:b.mp4",
    "http:a.mp4",
    "a|b.mp4",
    "q'\".mp4",
    "\u202egpj.mp4",
    "file+with&?=#.mp4",
    os.fsdecode(b"bad\xff\xfe.mp4"),
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_hostile_names(decoder: Decoder, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_sound(tmp_path / "a.wav", sine())
    os.rename(source, tmp_path / name)
    assert decoder.probe(tmp_path / name).audio == "pcm_f32le 16000 Hz 1 channel"
    monkeypatch.chdir(tmp_path)  # later than the child's start: relative paths are the parent's
    assert decoder.probe(Path(name)).audio
    os.truncate(name, 20)
    with pytest.raises(NotMedia) as caught:
        decoder.probe(Path(name))
    assert str(caught.value).encode()  # fit for any terminal and file
    assert "\udcff" in name or name in str(caught.value)


def test_long_folders(decoder: Decoder, tmp_path: Path) -> None:
    folder = tmp_path / "/".join(["d" * 50] * 6)
    folder.mkdir(parents=True)
    assert decoder.probe(write_sound(folder / "deep.wav", sine())).audio


def test_subtitles_alone_are_refused(decoder: Decoder, shared: Path) -> None:
    with pytest.raises(NotMedia, match="neither sound nor pictures"):
        decoder.probe(shared / "badmedia/real/040/full_blocks.mkv")


def test_encrypted_is_said(decoder: Decoder, shared: Path) -> None:
    with pytest.raises(Exception, match="encrypted"):
        decoder.probe(shared / "badmedia/real/110/video_512x288_h264-360k_enc_dashinit.mp4")
