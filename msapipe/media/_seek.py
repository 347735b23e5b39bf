"""Seek to a stretch deep in a long file, without decoding everything before it. Runs in the child.

The result is bit-identical to decoding from the beginning (tested) if the file's time stamps are consistent; otherwise
sound may be shifted by a fraction of a sample.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.stream import Stream

from msapipe.media._open import Opened, open_media
from msapipe.media.options import SEEK_FROM

# Containers with an index of key frames. Others are read from their beginning.
_INDEXED = "mov,mp4,m4a,3gp,3g2,mj2"
# Seconds read before the stretch, in which decoders and the resampler settle.
_BEFORE = 2.0


def opened_at(path: str, start: float, kind: str, track: int = 0) -> Opened:
    """``open_media``; positioned at a key frame before ``start`` seconds if that pays and the index can be trusted.

    kind: "video" or "sound"; ``track`` is the sound's index in ``Opened.tracks``.
    """
    opened = open_media(path)
    if start < SEEK_FROM or opened.container.format.name != _INDEXED:
        return opened
    stream: Stream | None = opened.video
    if kind == "sound":
        stream = opened.tracks[track] if track < len(opened.tracks) else None
    if stream is None or (isinstance(stream, AudioStream) and stream.time_base != Fraction(1, stream.rate or 1)):
        return opened
    if _seek(opened, stream, start - _BEFORE):
        return replace(opened, sought=True)
    opened.container.close()
    return open_media(path)


def _seek(opened: Opened, stream: Stream, time: float) -> bool:
    """Seek; whether the next packet of the stream is a key frame shortly before ``time``."""
    base = stream.time_base or Fraction(1)
    stamp = round((Fraction(time) + opened.zero) / base)
    try:
        opened.container.seek(stamp, stream=stream, backward=True)
        first = next(iter(opened.container.demux(stream)))
        opened.container.seek(stamp, stream=stream, backward=True)
    except (av.error.FFmpegError, OSError, StopIteration, ValueError):
        return False
    return bool(first.size) and first.is_keyframe and first.pts is not None and first.pts <= stamp
