"""Probe the contents of a file, and whether they can be decoded. Runs in the child."""

from __future__ import annotations

from av.stream import Stream

from msapipe.errors import MediaError, NotMedia
from msapipe.media._captions import captions
from msapipe.media._decode import Damage, Report, frames_of, packets
from msapipe.media._open import Opened, line_audio, line_video, open_media
from msapipe.types import CaptionTrack, MediaInfo

# Packets of the trial decoding. A stream without a frame by then is still assumed to be intact.
TRIAL_PACKETS = 5000
TRIAL_BYTES = 64_000_000
# Formats without an index: libav guesses their length from the first bit rate.
UNCERTAIN = {"mp3", "aac", "ac3", "eac3", "dts", "amr", "amrnb", "amrwb"}


def probe(path: str, report: Report) -> MediaInfo:
    """Probe the file at ``path`` (absolute). Raises NotMedia if neither sound nor video can be decoded."""
    opened = open_media(path)
    with opened.container as container:
        dead = _dead_streams(opened, report)
        seconds = container.duration / 1_000_000 if container.duration and container.duration > 0 else None
        rate = _rate(opened)
        video = None if opened.video in dead else opened.video
        audio = next((track for track in opened.tracks if track not in dead), None)
        if video is None and audio is None:
            raise NotMedia(_nothing(opened, dead))
        lines = (video and line_video(video), audio and line_audio(audio))
        opened.notes += [f"The {_word(stream)} stream cannot be decoded; it is left out." for stream in dead]
        name = container.format.name
        subtitled = any(stream.type == "subtitle" for stream in container.streams)
    if seconds is None or name in UNCERTAIN:
        seconds = _length(path, report) or seconds
    tracks: tuple[CaptionTrack, ...] = ()
    if subtitled:
        again = open_media(path)  # the trial has consumed packets, and captions need the file from its start
        with again.container:
            again.notes.clear()
            tracks = captions(again, report)
        opened.notes += again.notes
    return MediaInfo(name, lines[0] or None, lines[1] or None, seconds, tracks, tuple(opened.notes), rate)


def _rate(opened: Opened) -> float | None:
    """Frames per second, if it is a plausible frame rate."""
    rate = opened.video.average_rate if opened.video is not None else None
    return float(rate) if rate and 1 <= rate <= 1000 else None


def _length(path: str, report: Report) -> float | None:
    """The end of the last packet, in seconds from the file's start; decodes nothing."""
    again = open_media(path)
    last = 0.0
    with again.container:
        streams: list[Stream] = [stream for stream in (again.video, *again.tracks) if stream is not None]
        for packet in packets(again.container, streams, Damage()):
            if packet.pts is not None and packet.stream.time_base:
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.stream.time_base - again.zero))
                report(last)
    return last or None


def _dead_streams(opened: Opened, report: Report) -> list[Stream]:
    """The streams without a decodable frame; once one sound track gives a frame, the others are not tried."""
    waiting: list[Stream] = [stream for stream in (opened.video, *opened.tracks) if stream is not None]
    problems: list[MediaError] = []
    count = size = 0
    damage = Damage()
    for packet in packets(opened.container, list(waiting), damage):
        report(0.0)
        count, size = count + 1, size + packet.size
        if packet.stream in waiting:
            try:
                found = bool(frames_of(packet, damage))
            except MediaError as problem:
                problems.append(problem)
                found = False
            if found:
                done = opened.tracks if packet.stream in opened.tracks else [packet.stream]
                waiting = [stream for stream in waiting if stream not in done]
        if problems:
            raise problems[0]
        if not waiting or count > TRIAL_PACKETS or size > TRIAL_BYTES:
            return []
    return waiting


def _nothing(opened: Opened, dead: list[Stream]) -> str:
    """Why nothing in a file is usable."""
    if dead:
        lines = [line_video(opened.video)] if opened.video else []
        lines += [line_audio(track) for track in opened.tracks]
        return f"nothing in it can be decoded ({', '.join(lines)}): the data are damaged or missing; copy it again"
    kinds = sorted({stream.type for stream in opened.container.streams})
    unknown = [note for note in opened.notes if "does not know" in note]
    if unknown:
        return f"{' '.join(unknown)} Convert it first, for instance with `ffmpeg -i FILE out.mp4`"
    return f"it holds neither sound nor pictures ({', '.join(kinds) or 'no'} streams only); give another file"


def _word(stream: Stream) -> str:
    return "video" if stream.type == "video" else "sound"
