"""Write an in-memory recording to a lossless file, so that keys, cache and sandbox work as for any file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from msapipe.errors import MediaError
from msapipe.types import Recording


def write_recording(recording: Recording, path: Path) -> None:
    """Write a QuickTime file of PNG images and 32-bit float sound; equal recordings give equal bytes.

    The decoder returns frames and samples unchanged, at the times n / fps and n / rate.
    Raises MediaError when the file cannot be written.
    """
    import av
    import av.error

    try:
        with av.open(str(path), "w", format="mov", container_options={"fflags": "+bitexact"}) as file:
            # Both streams are created before the first packet, which writes the header.
            seen, heard = _picture_stream(file, recording), _sound_stream(file, recording)
            if seen is not None:
                _write_pictures(file, seen, recording)
            if heard is not None:
                _write_sound(file, heard, recording)
    except (OSError, av.error.FFmpegError) as error:
        raise MediaError(f"{recording!r} cannot be written to {path}: {error}") from error


def _picture_stream(file: Any, recording: Recording) -> Any:
    if recording.frames is None:
        return None
    rate = _rate(recording)
    stream = file.add_stream("png", rate=rate, options={"compression_level": "1"})
    _, stream.height, stream.width, _ = recording.frames.shape
    stream.pix_fmt, stream.time_base = "rgb24", 1 / rate
    return stream


def _rate(recording: Recording) -> Fraction:
    return Fraction(recording.fps or 1).limit_denominator(100_000)


def _sound_stream(file: Any, recording: Recording) -> Any:
    if recording.samples is None:
        return None
    layout = "mono" if len(recording.samples) == 1 else "stereo"
    return file.add_stream("pcm_f32le", rate=recording.rate, layout=layout)


def _write_pictures(file: Any, stream: Any, recording: Recording) -> None:
    import av

    for number, pixels in enumerate(recording.frames):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = number, 1 / _rate(recording)  # the stream's own time base changes once it is open
        file.mux(stream.encode(frame))
    file.mux(stream.encode())


def _write_sound(file: Any, stream: Any, recording: Recording) -> None:
    import av

    interleaved = recording.samples.T.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=stream.layout.name)
    frame.rate, frame.pts = stream.rate, 0
    file.mux(stream.encode(frame))
    file.mux(stream.encode())
