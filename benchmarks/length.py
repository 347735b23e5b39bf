"""Memory and time of ``extract`` against the length of a clip: the same picture and sound for seconds or hours.

The file has a picture a second. With ``--speech`` it is two minutes of real people (../shared/media: their faces,
English speech with pauses) again and again; otherwise a grey picture, and a tone that comes and goes in noise, of which
no word is recognised. Prints seconds, and the most memory that each process of the run held.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import av
import numpy as np
from _extract_runs import watched
from _extract_table import SHARED, ffmpeg

RATE = 16000
SPEECH = (
    *("audio/jfk.flac", "audio/librispeech_116.flac", "speech/retalk_1.mp4", "audio/RD_Radio31_000.wav"),
    *("speech/retalk_2.mp4", "faces/multi_shot_hamilton.mp4", "audio/RD_Radio40_000.wav", "speech/retalk_3.mp4"),
)
FACE = "speech/retalk_1.mp4"


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


def speech_here() -> bool:
    """Whether the recordings of people are on this machine."""
    return all((SHARED / name).is_file() for name in SPEECH)


def make_speech(path: Path, seconds: int) -> None:
    """Every recording with a pause of two seconds behind it, encoded once, its packets repeated; a face a second."""
    turn = path.with_name(f"turn-{path.name}")
    inputs = [argument for name in SPEECH for argument in ("-i", str(SHARED / name))]
    heard = [f"[{n}:a]aresample={RATE},aformat=channel_layouts=mono,apad=pad_dur=2[{n}]" for n in range(len(SPEECH))]
    joined = "".join(f"[{n}]" for n in range(len(SPEECH)))
    graph = ";".join([*heard, f"{joined}concat=n={len(SPEECH)}:v=0:a=1[sound]"])
    picture = ("-stream_loop", "-1", "-i", str(SHARED / FACE))
    shown = ("-map", f"{len(SPEECH)}:v", "-r", "1", "-vf", "scale=192:192", "-c:v", "mpeg4", "-q:v", "3", "-g", "1")
    ffmpeg(
        *inputs,
        *picture,
        "-filter_complex",
        graph,
        "-map",
        "[sound]",
        *shown,
        "-c:a",
        "pcm_s16le",
        "-shortest",
        str(turn),
    )
    ffmpeg("-stream_loop", "-1", "-i", str(turn), "-t", str(seconds), "-c", "copy", str(path))
    turn.unlink()


def measure(clip: Path, pipeline: str, cache: Path) -> tuple[float, dict[str, int]]:
    """Seconds, and the most memory (MB) that each process of the run held: "msapipe", "decoder"."""
    begun = time.perf_counter()
    _, most = watched(clip, Path(pipeline), cache)
    return time.perf_counter() - begun, most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, nargs="*", default=[4, 600, 3600, 3 * 3600])
    parser.add_argument("--pipeline", default="pocket")
    parser.add_argument("--speech", action="store_true", help="people who speak, of ../shared/media")
    asked = parser.parse_args()
    if asked.speech and not speech_here():
        parser.error(f"{SHARED} is not there")
    with tempfile.TemporaryDirectory() as folder:
        first: dict[str, int] = {}
        for seconds in asked.seconds:
            clip = Path(folder) / f"{seconds}.mkv"
            (make_speech if asked.speech else make)(clip, seconds)
            took, most = measure(clip, asked.pipeline, Path(folder) / "cache")
            clip.unlink()
            first = first or most
            said = "; ".join(f"{name} {most[name]} MB, {most[name] - first[name]:+} MB" for name in most)
            print(f"{seconds:6} s of video: {took:6.1f} s, {said}", flush=True)


if __name__ == "__main__":
    main()
