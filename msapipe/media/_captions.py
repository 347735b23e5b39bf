"""The cues of embedded text subtitle streams. Runs in the child."""

from __future__ import annotations

import re
from typing import Any

import av
from av.stream import Discard, Disposition, Stream

from msapipe.languages import language_code
from msapipe.media._decode import Damage, Report, packets
from msapipe.media._open import Opened
from msapipe.types import CaptionTrack, Word

TEXT = {"mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text"}
MAX_CUES = 20_000
MAX_TEXT = 2_000_000

# {\p1} ... {\p0}: a drawing, not words.
_DRAWING = re.compile(r"\{[^{}]{0,500}\\p[1-9][^{}]{0,500}\}.*?(?:\{[^{}]{0,500}\\p0[^{}]{0,500}\}|$)", re.DOTALL)
_OVERRIDES = re.compile(r"\{[^{}]{0,500}\}|<[^>]{1,40}>")
_HEARING = Disposition.hearing_impaired | Disposition.captions
# Words in a stream's title that mark it as forced.
_FORCED = re.compile(r"\b(forced|signs|foreign parts)\b", re.IGNORECASE)
_COMMENTARY = re.compile(r"\bcomment", re.IGNORECASE)
_DEAF = re.compile(r"\b(sdh|cc|hearing)\b", re.IGNORECASE)

_Cue = tuple[float, float, str]


def captions(opened: Opened, report: Report) -> tuple[CaptionTrack, ...]:
    """The text subtitle streams with their cues in order of time, in seconds from the start of the file.

    Reads the whole file if there is a text stream; ``opened`` cannot be decoded afterwards.
    """
    streams = _text_streams(opened)
    if not streams:
        return ()
    for other in opened.container.streams:
        if other not in streams:
            other.discard = Discard.all  # mp4 then skips their bytes
    damage = Damage()
    found: dict[int, list[_Cue]] = {stream.index: [] for stream in streams}
    count = letters = 0
    for packet in packets(opened.container, list(streams), damage):
        stream = packet.stream
        if packet.pts is None or not packet.size or not stream.time_base:
            continue
        start = float(packet.pts * stream.time_base - opened.zero)
        report(start)
        text, length = _decoded(packet, stream, damage)
        if text:
            found[stream.index].append((max(0.0, start), max(0.0, start + length), text))
            count, letters = count + 1, letters + len(text)
        if count >= MAX_CUES or letters > MAX_TEXT:
            opened.notes.append(f"Only the first {count} cues of the subtitles were read.")
            break
    opened.notes += damage.notes("subtitle stream")
    return tuple(_track(stream, found[stream.index]) for stream in streams if found[stream.index])


def _text_streams(opened: Opened) -> list[Stream]:
    """The text subtitle streams; adds a note if there are only bitmap subtitles."""
    found = [s for s in opened.container.streams if s.type == "subtitle"]
    readable = [s for s in found if s.codec_context is not None and s.codec_context.name in TEXT and s.time_base]
    if found and not readable:
        opened.notes.append("The subtitles are pictures, not text; they are not read.")
    return readable


def _track(stream: Stream, cues: list[_Cue]) -> CaptionTrack:
    marks, title = stream.disposition, stream.metadata.get("title", "")
    return CaptionTrack(
        stream=stream.index,
        cues=tuple(Word(text, start, end) for start, end, text in sorted(cues, key=lambda cue: cue[:2])),
        language=language_code(stream.language),
        default=bool(marks & Disposition.default),
        forced=bool(marks & Disposition.forced) or bool(_FORCED.search(title)),
        hearing_impaired=bool(marks & _HEARING) or bool(_DEAF.search(title)),
        commentary=bool(marks & Disposition.comment) or bool(_COMMENTARY.search(title)),
    )


def _decoded(packet: av.Packet[Any], stream: Stream, damage: Damage) -> tuple[str, float]:
    """The text of a packet and its duration in seconds."""
    try:
        cue = stream.decode2(packet)  # type: ignore[attr-defined]
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError, ValueError):
        damage.packets += 1
        return "", 0.0
    if cue is None:
        return "", 0.0
    length = float((packet.duration or 0) * (stream.time_base or 0))
    if not length and 0 < cue.end_display_time < 2**32 - 1:
        length = cue.end_display_time / 1000
    return "\n".join(filter(None, (plain(rect.ass) for rect in cue if hasattr(rect, "ass")))), length


def plain(line: bytes) -> str:
    """The lines of an ASS event (eight fields, then the text) without drawings, styles and tags."""
    text = line.decode("utf-8", "replace").split(",", 8)[-1]
    text = _OVERRIDES.sub("", _DRAWING.sub("", text)).replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    return "\n".join(said for part in text.split("\n") if (said := " ".join(part.split())))
