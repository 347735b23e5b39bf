"""Memory and time of ``extract`` against the length of a clip: the same picture and sound for seconds or hours.

The file has a picture a second and a tone that comes and goes in noise (no speech: recognising three hours of it takes
an hour). Prints the most memory that any one process of the run held, and seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

RATE = 16000


def make(path: Path, seconds: int) -> None:
    """A second of sound is encoded once, its packets repeated."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=1)
        video.width, video.height, video.pix_fmt, video.codec_context.gop_size = 64, 48, "yuv420p", 1
        sound = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        tone = 8000 * np.sin(np.arange(RATE) * 440 * 2 * np.pi / RATE) * np.linspace(0, 1, RATE)
        tone = (tone + random.normal(0, 300, RATE)).astype(np.int16)[None]
        picture = np.full((48, 64, 3), 90, np.uint8)
        for second in range(seconds):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = second
            out.mux(video.encode(frame))
            heard = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            heard.sample_rate, heard.pts = RATE, second * RATE
            out.mux(sound.encode(heard))
        out.mux(video.encode(None))
        out.mux(sound.encode(None))


def measure(clip: Path, pipeline: str, cache: Path) -> tuple[float, int]:
    """Seconds, and the most memory of one process of the run (MB)."""
    command = [sys.executable, "-m", "msapipe", "extract", str(clip), "-p", pipeline, "--cache", str(cache), "-q"]
    begun = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{clip}: ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - begun, used.ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, nargs="*", default=[4, 600, 3600, 3 * 3600])
    parser.add_argument("--pipeline", default="pocket")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        first = None
        for seconds in asked.seconds:
            clip = Path(folder) / f"{seconds}.mkv"
            make(clip, seconds)
            took, most = measure(clip, asked.pipeline, Path(folder) / "cache")
            clip.unlink()
            first = first or most
            print(f"{seconds:6} s of video: {took:6.1f} s, {most} MB, {most - first:+} MB", flush=True)


if __name__ == "__main__":
    main()
