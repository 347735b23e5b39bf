"""Write films with the bundled ffmpeg, from pictures and sound that the guarded decoder has read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MissingLibrary, MsapipeError
from msapipe.types import Frames, Waveform

Picture = NDArray[np.uint8]

# Timestamps may be wrong: no picture is held longer than this (seconds).
_LONGEST_HOLD = 600.0


def at_rate(frames: Frames, fps: float) -> Iterator[tuple[float, Picture]]:
    """Resample pictures to 1/fps s: yields (seconds, uint8 (H, W, 3) RGB), the latest picture shown at each time."""
    number, shown = 0, None
    for batch in frames.batches(1):
        start, end = float(batch.times[0, 0]), float(batch.times[0, 1])
        if shown is None:
            shown = batch.pixels[0]
        while number / fps < start and number / fps < end and start - number / fps < _LONGEST_HOLD:
            yield number / fps, shown
            number += 1
        number = max(number, int(np.ceil(start * fps - 1e-6)))
        shown = batch.pixels[0]
        last = min(end, start + _LONGEST_HOLD)
        while number / fps < last - 1e-6:
            yield number / fps, shown
            number += 1


def write_film(
    path: Path, pictures: Iterable[Picture], fps: float, sound: Waveform | None = None, quality: int = 23
) -> int:
    """Write an H.264 film with AAC sound as mp4; returns its number of pictures, 0 for sound alone.

    pictures: uint8 (H, W, 3) RGB, all of one size, ``fps`` per second.   quality: x264's crf, lower is better.
    The file appears whole or not at all. Raises MsapipeError when it cannot be written, MissingLibrary without ffmpeg.
    """
    sound = None if sound is None or not len(sound.samples) else sound
    begun = iter(pictures)
    first = next(begun, None)
    if first is None and sound is None:
        raise MsapipeError(f"{path}: there is neither a picture nor a sound to write")
    try:
        with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".film-") as folder:
            heard = Path(folder) / "sound.f32"
            made = Path(folder) / "film.mp4"
            if sound is not None:
                heard.write_bytes(sound.samples.astype("<f4").tobytes())
            count = _encode(made, first, begun, fps, heard if sound else None, sound.rate if sound else 0, quality)
            os.replace(made, path)
    except OSError as error:
        raise MsapipeError(f"{path} cannot be written: {error.strerror}; name another file") from error
    return count


def _encode(
    made: Path, first: Picture | None, rest: Iterator[Picture], fps: float, heard: Path | None, rate: int, quality: int
) -> int:
    try:
        import ffmpeg
        import imageio_ffmpeg

        program = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise MissingLibrary(f"films need ffmpeg: {error}; type: msapipe doctor") from error
    streams, how = [], {"movflags": "+faststart", "threads": 1}
    if first is not None:
        height, width = first.shape[:2]
        seen = ffmpeg.input("pipe:", f="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", r=fps)
        # H.264 with its usual pixel format needs even sides.
        streams.append(seen.filter("pad", "ceil(iw/2)*2", "ceil(ih/2)*2"))
        how |= {"vcodec": "libx264", "pix_fmt": "yuv420p", "crf": quality, "preset": "veryfast", "g": round(fps * 2)}
    if heard is not None:
        streams.append(ffmpeg.input(f"file:{heard}", f="f32le", ar=rate, ac=1))
        how |= {"acodec": "aac", "audio_bitrate": "64k"}
    process = (
        ffmpeg.output(*streams, f"file:{made}", **how)
        .global_args("-nostdin" if first is None else "-hide_banner", "-loglevel", "error")
        .run_async(cmd=program, pipe_stdin=first is not None, quiet=False, overwrite_output=True)
    )
    count = 0
    try:
        if first is not None:
            for picture in chain([first], rest):
                process.stdin.write(np.ascontiguousarray(picture).tobytes())
                count += 1
            process.stdin.close()
    except BrokenPipeError:
        pass  # ffmpeg has ended; its exit code tells how
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
    if process.returncode:
        raise MsapipeError(f"{made.name}: ffmpeg ended with code {process.returncode}; type: msapipe doctor")
    return count
