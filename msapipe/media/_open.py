"""Open one file with libav, and no other file; choose its streams. Runs in the child."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from msapipe.errors import MediaError, NotMedia
from msapipe.media._whole import broken, lost_bytes
from msapipe.media.options import MAX_PIXELS
from msapipe.media.regular import looks_like

# Containers of video and sound. Others are refused before libav reads their header: playlists (hls, dash, concat,
# sdp ...) open other files and addresses, and image sequences take the file name as a pattern.
FORMATS = (
    "3g2,3gp,aac,ac3,aiff,amr,amrnb,amrwb,ape,apng,asf,au,avi,caf,dv,dts,eac3,flac,flv,gif,h264,hevc,ivf,"
    "jpeg_pipe,m4v,matroska,mjpeg,mov,mp3,mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,png_pipe,rm,tta,w64,wav,webm,"
    "webp,webp_pipe,wtv,wv"
)
# A photograph is a one-frame video. Its demuxer is named here: by file suffix, libav would choose an image sequence.
PICTURES = {b"\xff\xd8\xff": "jpeg_pipe", b"\x89PNG": "png_pipe"}
OPTIONS = {
    "format_whitelist": FORMATS,
    "protocol_whitelist": "file",
    "probesize": "10000000",
    "analyzeduration": "10000000",
    "max_streams": "100",
}
# Images beside the main video: cover art, chapter thumbnails, depth maps and the like.
BESIDE = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image | Disposition.dependent


@dataclass
class Opened:
    """A file that libav opened.

    zero: the time stamp of the file's start, in seconds: that of its earliest stream.
    video: the selected stream, or None.   tracks: the readable sound streams, the likeliest first (see
    ``sound_tracks``).   notes: which of several streams was selected, and which are unreadable.
    sought: whether reading starts in the middle of the file.
    """

    container: InputContainer
    zero: Fraction
    video: VideoStream | None = None
    tracks: list[AudioStream] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sought: bool = False


def open_media(path: str) -> Opened:
    """Open ``path`` (absolute). Raises NotMedia if libav finds neither sound nor video in it."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise NotMedia(f"it cannot be read ({error.strerror}); check the disk and the permissions") from None
    other = looks_like(head)
    if other is not None:
        raise NotMedia(f"this is {other}")
    if head.startswith(b"GIF8"):  # its decoder fails silently if max_pixels stops it
        check_size(*struct.unpack("<HH", head[6:10].ljust(4)))
    try:
        container = av.open(
            "file:" + os.path.abspath(path),
            format=next((name for start, name in PICTURES.items() if head.startswith(start)), None),
            metadata_errors="replace",
            container_options=OPTIONS,
            options={"max_pixels": str(MAX_PIXELS)},
        )
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise NotMedia(f"{broken(path, head)} ({getattr(error, 'strerror', None) or error})") from None
    opened = Opened(container, _zero(container))
    lost = lost_bytes(path)
    if lost:
        opened.notes.append(f"The file is cut short: {lost} bytes that it announces are missing at its end.")
    opened.video = _choose(container, opened.notes)
    opened.tracks = sound_tracks(container, opened.notes)
    if opened.video is not None:
        check_size(opened.video.codec_context.width, opened.video.codec_context.height)
        opened.video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return opened


def check_size(width: int, height: int) -> None:
    """Raise MediaError if a frame has too many pixels."""
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"its pictures have {width}x{height} pixels, more than the limit of {MAX_PIXELS // 10**6} million; "
            "scale it down, for instance with `ffmpeg -i FILE -vf scale=1920:-2 small.mp4`"
        )


def _zero(container: InputContainer) -> Fraction:
    """The start of the file in seconds, taken from a stream that begins there: the container rounds to 1e-6."""
    if container.start_time is None:
        return Fraction(0)
    start = Fraction(container.start_time, 1_000_000)
    for stream in container.streams:
        if stream.start_time is not None and stream.time_base:
            exact = stream.start_time * stream.time_base
            if abs(exact - start) <= Fraction(1, 1_000_000):
                return Fraction(exact)
    return start


_Kind = TypeVar("_Kind", VideoStream, AudioStream)


def _readable(container: InputContainer, kind: type[_Kind], notes: list[str]) -> list[_Kind]:
    """The streams of a kind for which a decoder exists."""
    found = [s for s in container.streams if isinstance(s, kind) and not s.disposition & BESIDE]
    readable = [s for s in found if s.codec_context is not None and s.time_base]
    if found and not readable:
        word = "video" if kind is VideoStream else "sound"
        notes.append(f"The {word} stream is in a format that this decoder does not know; it is left out.")
    return readable


def _choose(container: InputContainer, notes: list[str]) -> VideoStream | None:
    """The selected video stream: the first one marked as default, else the first; None if there is none."""
    readable = _readable(container, VideoStream, notes)
    if not readable:
        return None
    marked = [s for s in readable if s.disposition & Disposition.default]
    chosen = (marked or readable)[0]
    if len(readable) > 1:
        why = "marked as default" if marked else "the first"
        notes.append(f"{len(readable)} video streams; stream {chosen.index} is read ({why}{_language(chosen)}).")
    return chosen


def sound_tracks(container: InputContainer, notes: list[str]) -> list[AudioStream]:
    """The readable sound streams: default tracks first, commentaries and the like last, each in file order.

    ``Decoder.waveform`` tells silent ones apart by their content.
    """

    def place(stream: AudioStream) -> tuple[bool, bool, int]:
        return beside_the_film(stream) is not None, not stream.disposition & Disposition.default, stream.index

    return sorted(_readable(container, AudioStream, notes), key=place)


# Flags and titles of tracks that accompany or replace the main sound.
_BESIDE_FLAGS = {
    Disposition.comment: "a commentary",
    Disposition.visual_impaired: "an audio description",
    Disposition.descriptions: "an audio description",
    Disposition.karaoke: "music alone",
    Disposition.clean_effects: "music and effects without speech",
}
_BESIDE_TITLES = (
    (
        re.compile(r"comment(s|ary|aries|aires?)\b|kommentar|comentario|评论|解说|評論|解說", re.IGNORECASE),
        "a commentary",
    ),
    (
        re.compile(r"audio.?descri|described|descriptive|visual(ly)?.impaired|旁白", re.IGNORECASE),
        "an audio description",
    ),
    (re.compile(r"\bkaraoke\b|\binstrumental\b|\bisolated (score|music)\b", re.IGNORECASE), "music alone"),
)


def beside_the_film(stream: AudioStream) -> str | None:
    """The kind of a track that is not the main sound, by its flags or title; None for the main sound."""
    for flag, what in _BESIDE_FLAGS.items():
        if stream.disposition & flag:
            return what
    title = " ".join(stream.metadata.get(name, "") for name in ("title", "handler_name", "name"))
    return next((what for pattern, what in _BESIDE_TITLES if pattern.search(title)), None)


def what_is_said(stream: AudioStream) -> str:
    """Other declared facts of a track: "marked as default, language en"; "" if none."""
    marked = "marked as default" if stream.disposition & Disposition.default else ""
    return (marked + _language(stream)).removeprefix(", ")


def _language(stream: VideoStream | AudioStream) -> str:
    return f", language {stream.language}" if stream.language else ""


def line_video(stream: VideoStream) -> str:
    """One line about a video stream: "h264 360x288 25.00 fps"."""
    context = stream.codec_context
    rate = stream.average_rate
    line = f"{context.codec.canonical_name} {context.width}x{context.height}"
    return line + (f" {float(rate):.2f} fps" if rate else "")


def line_audio(stream: AudioStream) -> str:
    """One line about a sound stream: "mp2 44100 Hz 2 channels"."""
    context = stream.codec_context
    channels = context.layout.nb_channels
    return f"{context.codec.canonical_name} {context.sample_rate} Hz {channels} channel{'s' * (channels != 1)}"
