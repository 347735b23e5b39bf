"""Whole commands: `predict` of a clip, a second pipeline that shares stages, cost against length and number, memory.

Cost: pocket's stages of picture and sound without its words (faces, speaker, expression, voice) on a talking head of
360 x 360, repeated up to ten minutes, and on 1 to 200 different files of one second; everything is loaded before.
Memory: the same stages on ten minutes of 1080p; what `msapipe extract` and its decoder hold at most.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import predict
import yaml
from _extract_table import SAMPLES, SHARED, Row, ffmpeg, timed, wide

import msapipe
from msapipe import Clip

SECONDS = (1, 3, 10, 30, 100, 600)
COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "cost.svg"
MOST_MB = 350


def pipeline(place: Path) -> Path:
    """pocket without words."""
    stages = {"faces": {"use": "mtcnn"}, "speaker": {"use": "largest"}}
    stages |= {"audio": {"use": "prosody"}, "vision": {"use": "expression"}}
    target = place / "pocket_without_words.yaml"
    target.write_text(yaml.safe_dump({"schema": 1, "about": "no words", "stages": stages, "align": "none"}))
    return target


def looped(source: Path, target: Path, seconds: float) -> Path:
    """A clip again and again, packet by packet, up to a length."""
    ffmpeg("-stream_loop", "-1", "-i", str(source), "-t", str(seconds), "-c", "copy", str(target))
    return target


def predicted(place: Path) -> Iterator[Row]:
    """From process start, wall time, nothing cached; the median of three."""
    clip, took = SAMPLES / "positive.mp4", []
    for number in range(predict.RUNS):
        took.append(predict.seconds("predict", str(clip), "--cache", str(place / f"predict_{number}")))
    limit = "imports, speech recognition"
    yield Row("predict, 5 s clip, from process start, wall", statistics.median(took), None, "s", "", "2.5 s", limit)


def second(place: Path) -> Iterator[Row]:
    """`plain` over clips on which `pocket` was run, against `plain` from nothing."""
    clips = [Clip(path.name, path) for path in sorted(SAMPLES.glob("*.mp4"))]
    took, steps = {}, {}
    for name, first in (("nothing", None), ("pocket", "pocket")):
        cache = place / f"second_{name}"
        with msapipe.load("plain", cache=place / "warm", device="cpu") as plain:
            list(plain.run(clips[:1]))
        if first:
            with msapipe.load(first, cache=cache, device="cpu") as pocket:
                list(pocket.run(clips))
        with msapipe.load("plain", cache=cache, device="cpu") as plain:
            outcomes = []
            took[name] = timed(lambda: outcomes.extend(plain.run(clips)))  # noqa: B023
        steps[name] = sum(len(set(outcome.timings) - {"loading"}) for outcome in outcomes)
        computed = sorted({step for outcome in outcomes for step in outcome.timings} - {"loading"})
    found = f"{steps['pocket']} steps computed ({', '.join(computed)}) of {steps['nothing']}"
    yield Row(f"`plain` after `pocket`, {len(clips)} clips", took["pocket"], took["nothing"], "s", found, "", "decode")


def costs(place: Path) -> Iterator[Row]:
    """Lines through the cost of lengths and of numbers."""
    source = SAMPLES / "positive.mp4"
    films = [looped(source, place / f"{seconds}.mp4", seconds) for seconds in SECONDS]
    with msapipe.load(str(pipeline(place)), cache=place / "cost", device="cpu") as pipe:
        list(pipe.run([Clip("first", films[1])]))
        by_length = [timed(lambda: list(pipe.run([Clip("c", changed(film, 0))]))) for film in films]  # noqa: B023
        by_number = []
        for count in COUNTS:
            clips = [Clip(str(n), changed(films[0], 1000 * count + n)) for n in range(count)]
            by_number.append(timed(lambda: list(pipe.run(clips, progress=False))))  # noqa: B023
    for part, asked, found in (("second of film", SECONDS, by_length), ("clip of 1 s", COUNTS, by_number)):
        slope, start, fit = line(asked, found)
        text = f"R² {fit:.4f}, {1e3 * start:.0f} ms + {1e3 * slope:.1f} ms each, {asked[0]} to {asked[-1]}"
        yield Row(f"pocket without words, a {part}", slope, None, "ms", text, "linear", "decode, O-Net")
    draw(by_length, by_number)


def changed(film: Path, number: int) -> Path:
    """A copy that is another file: a free box behind it, over which players pass."""
    copy = film.with_name(f"{film.stem}_{number}.mp4")
    shutil.copy(film, copy)
    with copy.open("ab") as file:
        file.write(struct.pack(">I4sI", 12, b"free", number))
    return copy


def line(x: tuple[int, ...], y: list[float]) -> tuple[float, float, float]:
    """Slope, intercept and R² of the straight line with the least squares of relative errors."""
    weights = 1 / np.array(y)
    slope, start = np.polyfit(x, y, 1, w=weights)
    rest = np.array(y) - (slope * np.array(x) + start)
    return float(slope), float(start), float(1 - (rest**2).sum() / ((np.array(y) - np.mean(y)) ** 2).sum())


def draw(by_length: list[float], by_number: list[float]) -> None:
    """Both as points on logarithmic axes, with their lines."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "cost", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for axis, label, x, y in (
        (axes[0], "seconds of film", SECONDS, by_length),
        (axes[1], "clips of 1 s", COUNTS, by_number),
    ):
        slope, start, fit = line(x, y)
        axis.loglog(x, y, "o")
        axis.loglog(x, slope * np.array(x) + start, color="grey", lw=1)
        axis.set(xlabel=label, ylabel="CPU seconds", title=f"{start:.2f} s + {1e3 * slope:.0f} ms each, R² {fit:.4f}")
    figure.savefig(PICTURE, metadata={"Date": None})


def memory(place: Path) -> Iterator[Row]:
    """The most that a process holds with ten minutes of 1080p, above what it holds with a second of it."""
    source = SHARED / "speech" / "retalk_1.mp4"
    if not source.is_file():
        yield Row("memory, 10 minutes of 1080p", None, None, agreement=f"{source.name} is not there")
        return
    film = wide(source, place / "1080p.mp4", 1920, 1080)
    took, most = {}, {}
    for seconds in (1, 600):
        clip = looped(film, place / f"1080p_{seconds}.mp4", seconds)
        took[seconds], most[seconds] = watched(clip, pipeline(place), place / "memory")
        clip.unlink()
    text = "; ".join(
        f"{name} {most[600][name]} MB, {most[600][name] - most[1][name]:+} against 1 s" for name in most[1]
    )
    yield Row("pocket without words, 10 minutes of 1080p", took[600], None, "s", text, f"+{MOST_MB} MB", "decode")


def watched(clip: Path, pipe: Path, cache: Path) -> tuple[float, dict[str, int]]:
    """Seconds of processor time of `msapipe extract`, and the most memory (MB) of it and of its decoder."""
    command = [sys.executable, "-m", "msapipe", "extract", str(clip), "-p", str(pipe), "--cache", str(cache), "-q"]
    most = {"msapipe": 0, "decoder": 0}

    def run() -> None:
        # Not wait4: what it says of a process begins with what this one held when it started it.
        process = subprocess.Popen(command)
        while process.poll() is None:
            with contextlib.suppress(OSError, StopIteration):
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                for pid in [process.pid, *map(int, children)]:
                    name = "msapipe" if pid == process.pid else "decoder"
                    most[name] = max(most[name], held(pid))
            time.sleep(0.05)
        if process.returncode:
            raise RuntimeError(f"{clip}: msapipe extract ended with {process.returncode}")

    return timed(run), most


def held(pid: int) -> int:
    """The most that a process has held so far, MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024


def rows(place: Path) -> Iterator[Row]:
    """All of them."""
    for part in (predicted, second, costs, memory):
        yield from part(place)
