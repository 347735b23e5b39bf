"""Tiny media, made by PyAV in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float32]


def corner(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """A dark picture with a bright upper left quarter."""
    picture = np.full((height, width, 3), 16, np.uint8)
    picture[: height // 2, : width // 2] = 240
    return picture


def write_video(
    path: Path,
    times: Sequence[float],
    picture: Callable[[int], NDArray[np.uint8]] = lambda _: corner(),
    sound: Sound | None = None,
    rate: int = 16000,
    sound_start: float = 0.0,
    setup: Callable[[Any], None] = lambda _: None,
) -> Path:
    """A video with one picture at each of ``times`` (seconds), and, if given, sound float32 (channels, n)."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        height, width = picture(0).shape[:2]
        video.width, video.height, video.pix_fmt, video.bit_rate = width, height, "yuv420p", 2_000_000
        video.codec_context.time_base = Fraction(1, 1000)
        setup(video)
        audio = None if sound is None else add_sound(container, sound, rate)
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            mux_sound(container, audio, sound, rate, sound_start)
    return path


def add_sound(container: Any, sound: Sound, rate: int, codec: str = "pcm_f32le") -> Any:
    stream = container.add_stream(codec, rate=rate)
    stream.layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(sound)]
    return stream


def mux_sound(container: Any, stream: Any, sound: Sound, rate: int, start: float = 0.0) -> None:
    for begin in range(0, sound.shape[1], 1024):
        part = np.ascontiguousarray(sound[:, begin : begin + 1024].T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(part, format="flt", layout=stream.layout.name)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = round(start * rate) + begin
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_sound(path: Path, sound: Sound, rate: int = 16000) -> Path:
    """A wav file of float32 (channels, n)."""
    with av.open(str(path), "w") as container:
        mux_sound(container, add_sound(container, sound, rate), sound, rate)
    return path


def sine(seconds: float = 1.0, rate: int = 16000, level: float = 0.5) -> Sound:
    """A tone of 440 Hz, float32 (1, n)."""
    clock = np.arange(round(seconds * rate)) / rate
    return np.asarray(level * np.sin(2 * np.pi * 440 * clock), np.float32)[None]
