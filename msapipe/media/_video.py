"""The frames of a stretch of a file, subsampled, upright and with square pixels. Runs in the child."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from msapipe.media._clock import Clock
from msapipe.media._decode import Damage, Report, frames_of, packets, use_threads
from msapipe.media._geometry import (
    UPRIGHT,
    UPRIGHT_MATRIX,
    Turn,
    apply_turn,
    matrix_of,
    read_matrix,
    shown_size,
    turn_of,
)
from msapipe.media._open import Opened, check_size
from msapipe.media.options import MediaOptions, next_due

Picture = tuple[NDArray[np.uint8], float, float]

# Longest duration of the last frame of a file.
MAX_LAST_SECONDS = 600.0
# Pixels should not depend on the processor's vector instructions. (ACCURATE_RND would be ten times slower.)
EXACT = Interpolation.BITEXACT


class Painter:
    """Converts the frames of one stream to RGB images of one size."""

    def __init__(self, stream: VideoStream, max_side: int) -> None:
        self._aspect = stream.sample_aspect_ratio
        self._max_side = max_side
        self._source: tuple[int, int] | None = None
        self._size = (0, 0)
        self._turn: Turn = UPRIGHT
        self.notes: list[str] = []

    def paint(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """The frame in display orientation: uint8 (H, W, 3) RGB."""
        check_size(frame.width, frame.height)
        if self._source is None:
            self._source = (frame.width, frame.height)
            self._turn = self._read_turn(frame)
            self._size = shown_size(frame.width, frame.height, self._aspect, self._max_side)
        elif self._source != (frame.width, frame.height) and _RESIZED not in self.notes:
            self.notes.append(_RESIZED)
        width, height = self._size
        shrink = width < frame.width or height < frame.height
        method = (Interpolation.AREA if shrink else Interpolation.BILINEAR) | EXACT
        seen = frame.reformat(width=width, height=height, format="rgb24", interpolation=int(method), threads=1)
        return apply_turn(np.asarray(seen.to_ndarray(), np.uint8), self._turn)

    def _read_turn(self, frame: VideoFrame) -> Turn:
        """The rotation in the first frame's side data; libav copies the container's rotation there."""
        try:
            sides = list(cast(Any, frame.side_data))  # a mapping that iterates over its values
            found = [bytes(side) for side in sides if side.type.name == "DISPLAYMATRIX"]
            matrix = read_matrix(found[0]) if found else UPRIGHT_MATRIX
        except ValueError:  # PyAV does not know some other side data of this frame, but still gives the angle
            matrix = matrix_of(frame.rotation)
        turn = None if matrix is None else turn_of(matrix)
        if turn is None:
            self.notes.append("The file asks for a rotation that is no multiple of 90 degrees; it is ignored.")
        return turn or UPRIGHT


_RESIZED = "The size of the pictures changes on the way; later ones are scaled to the first size."


# Formats that may be cut anywhere; in others, a first packet that is no key frame may be normal.
_CUT_ANYWHERE = {"mpegts", "mpegtsraw", "mpeg", "mpegvideo", "h264", "hevc"}
_MID_GROUP = (
    "The video begins in the middle of a group of pictures; what comes before its first whole picture cannot be seen."
)


def pictures(
    opened: Opened, start: float, end: float | None, options: MediaOptions, report: Report
) -> Iterator[Picture]:
    """Yield (uint8 (H, W, 3) RGB, start, end) in order of time; seconds from ``start``.

    start, end: the stretch of the file, in seconds from its start. A frame is kept if it comes at or after the next
    multiple of 1/fps, so at most ``fps`` frames per second remain on average. A frame ends where the next kept one
    starts. Notes are added to ``opened.notes``.
    """
    stream = opened.video
    if stream is None:
        opened.notes.append("The file has no pictures that can be read.")
        return
    rate = float(stream.average_rate or 0)
    step = 1 / rate if 0.01 <= rate <= 1000 else 1 / options.fps
    clock, damage = Clock(opened.zero, stream.time_base, step), Damage()
    painter = Painter(stream, options.max_side)
    held: tuple[NDArray[np.uint8], float] | None = None
    due, count, finish = -math.inf, 0, 0.0
    for frame, time, length in _timed(opened, stream, clock, damage, report, start):
        count += 1
        if end is not None and time >= end:
            finish = end - start
            break
        finish = time - start + length
        if time < start or time - start < due:
            continue
        if held is not None:
            yield held[0], held[1], time - start
        held = (painter.paint(frame), time - start)
        due = next_due(time - start, options.fps)
    if held is not None:
        yield held[0], held[1], max(finish, held[1])
    opened.notes += painter.notes + clock.notes() + damage.notes("video")
    if not count:
        opened.notes.append("The video stream holds no picture that can be decoded.")
    elif held is None:
        opened.notes.append("There are no pictures in this stretch.")


def _timed(
    opened: Opened, stream: VideoStream, clock: Clock, damage: Damage, report: Report, start: float
) -> Iterator[tuple[VideoFrame, float, float]]:
    """Frames with their time, in seconds from the start of the file, and their duration in seconds.

    After a seek, damage before ``start`` is not counted: frames before the first key frame cannot be decoded.
    """
    use_threads(stream)
    base = float(stream.time_base or 0)
    reached, stamped, begun = 0.0, False, False
    before = Damage() if opened.sought else damage
    for packet in packets(opened.container, [stream], damage):
        report(reached)
        if not begun and packet.size:
            begun = True
            if not packet.is_keyframe and opened.container.format.name in _CUT_ANYWHERE:
                opened.notes.append(_MID_GROUP)
        for frame in frames_of(packet, damage if reached >= start else before):
            stamp = _stamp(frame, stamped)
            stamped = stamped or frame.pts is not None
            time = clock.time(stamp)
            if time is None:
                continue
            reached = time
            yield frame, time, _length(frame, base, clock.step)


def _stamp(frame: Any, stamped: bool) -> int | None:
    """The time stamp of a frame; its decoding time stamp if the file has no others (avi)."""
    if frame.pts is not None or stamped:
        return frame.pts  # type: ignore[no-any-return]
    return frame.dts  # type: ignore[no-any-return]


def _length(frame: VideoFrame, base: float, step: float) -> float:
    """Duration of a frame in seconds; the frame's own value if it has one."""
    declared = float(frame.duration or 0) * base
    return declared if 0 < declared <= MAX_LAST_SECONDS else step
