"""The cues of an embedded text subtitle stream. Runs in the child."""

from __future__ import annotations

import re
from typing import Any

import av
from av.stream import Discard, Stream

from msapipe.media._decode import Damage, Report, packets
from msapipe.media._open import Opened
from msapipe.types import Word

TEXT = {"mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text"}
MAX_CUES = 20_000
MAX_TEXT = 2_000_000

_OVERRIDES = re.compile(r"\{[^}]*\}|<[^>]{1,40}>")
_BREAKS = re.compile(r"\\[Nnh]|\s+")


def captions(opened: Opened, report: Report) -> tuple[Word, ...]:
    """Cues of the first text subtitle stream, in order of time; seconds from the start of the file.

    Reads the whole file when there is such a stream, so ``opened`` cannot be decoded afterwards.
    """
    stream = _choose(opened)
    if stream is None or not stream.time_base:
        return ()
    for other in opened.container.streams:
        if other is not stream:
            other.discard = Discard.all  # mp4 then skips their bytes altogether
    damage, cues, letters = Damage(), [], 0
    for packet in packets(opened.container, [stream], damage):
        if packet.pts is None or not packet.size:
            continue
        start = float(packet.pts * stream.time_base - opened.zero)
        report(start)
        text, length = _decoded(packet, stream, damage)
        if text:
            cues.append((max(0.0, start), max(0.0, start + length), text))
            letters += len(text)
        if len(cues) >= MAX_CUES or letters > MAX_TEXT:
            opened.notes.append(f"Only the first {len(cues)} cues of the subtitles were read.")
            break
    opened.notes += damage.notes("subtitle stream")
    return tuple(Word(text, start, end) for start, end, text in sorted(cues, key=lambda cue: cue[:2]))


def _choose(opened: Opened) -> Stream | None:
    """The first text subtitle stream; says so when there are several, or pictures only."""
    found = [s for s in opened.container.streams if s.type == "subtitle"]
    readable = [s for s in found if s.codec_context is not None and s.codec_context.name in TEXT]
    if found and not readable:
        opened.notes.append("The subtitles are pictures, not text; they are not read.")
    if len(readable) > 1:
        opened.notes.append(f"{len(readable)} subtitle streams; stream {readable[0].index} is read.")
    return readable[0] if readable else None


def _decoded(packet: av.Packet[Any], stream: Stream, damage: Damage) -> tuple[str, float]:
    """The text of a packet and how many seconds it is shown."""
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
    return " ".join(filter(None, (plain(rect.ass) for rect in cue if hasattr(rect, "ass")))), length


def plain(line: bytes) -> str:
    """The spoken text of an ASS event (eight fields, then the text): without styles, tags and line breaks."""
    text = line.decode("utf-8", "replace").split(",", 8)[-1]
    return _BREAKS.sub(" ", _OVERRIDES.sub("", text)).strip()
