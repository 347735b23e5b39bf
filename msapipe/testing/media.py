"""Small media files for tests, made by ffmpeg's own test sources; no system ffmpeg is needed."""

from __future__ import annotations

from pathlib import Path


def make_clip(path: Path, seconds: float = 2.0, fps: int = 25, video: bool = True, audio: bool = True) -> Path:
    """A 160x120 test pattern with a moving counter and a 440 Hz tone; no face and no speech."""
    import ffmpeg
    import imageio_ffmpeg

    streams = []
    if video:
        streams.append(ffmpeg.input(f"testsrc=size=160x120:rate={fps}:duration={seconds}", f="lavfi"))
    if audio:
        streams.append(ffmpeg.input(f"sine=frequency=440:sample_rate=16000:duration={seconds}", f="lavfi"))
    ffmpeg.output(*streams, f"file:{path}", threads=1).run(
        cmd=imageio_ffmpeg.get_ffmpeg_exe(), quiet=True, overwrite_output=True
    )
    return path
