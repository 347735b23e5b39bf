"""Wall time of a prediction: of `msapipe predict` from process start, and of a further clip in a warm process.

From process start: the sample clips with nothing cached, with everything cached, and --help. Warm: five seconds of
video whose words are given, nothing of it cached, through a pipeline that has predicted another clip before.
"""

from __future__ import annotations

import argparse
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msapipe
from msapipe import Clip, Pipeline

HERE = Path(__file__).resolve().parents[1]
SAMPLES = HERE / "sample_media"
RUNS = 3
WARM_RUNS = 7
# Clips of 4.9 and 5.0 s with the words that are given; the first loads what all of them need.
FIRST = (SAMPLES / "positive.mp4", "What a wonderful day. I am so happy, and I love this movie.")
WARM = (
    (SAMPLES / "negative.mp4", "It was a disaster. The music was awful, and I'm really disappointed."),
    (HERE.parent / "shared" / "media" / "speech" / "retalk_2.mp4", "I liked the story, but the end was too long."),
)


def seconds(*arguments: str) -> float:
    begun = time.perf_counter()
    subprocess.run([str(Path(sys.executable).with_name("msapipe")), *arguments], check=True, capture_output=True)
    return time.perf_counter() - begun


def from_start() -> None:
    """Of the program, each time a process of its own."""
    print(f"median of {RUNS} runs, seconds from process start")
    print(f"{'--help':<24} {statistics.median(seconds('--help') for _ in range(RUNS)):6.2f}")
    for clip in sorted(SAMPLES.glob("*.mp4")):
        cold, cached = [], []
        for _ in range(RUNS):
            with tempfile.TemporaryDirectory() as cache:
                cold.append(seconds("predict", str(clip), "--cache", cache))
                cached.append(seconds("predict", str(clip), "--cache", cache))
        print(f"{clip.name:<24} {statistics.median(cold):6.2f} cold {statistics.median(cached):6.2f} cached")


def copies(source: Path, text: str, folder: Path) -> Iterator[Clip]:
    """The clip again and again, each time with other bytes and another space in its text: nothing is cached of it."""
    for number in range(WARM_RUNS):
        copy = folder / f"{source.stem}_{number}.mp4"
        # Players pass over a free box.
        copy.write_bytes(source.read_bytes() + struct.pack(">I4sI", 12, b"free", number))
        yield Clip(copy.name, copy, text=text + " " * number)


def timed(pipeline: Pipeline, clip: Clip) -> dict[str, float]:
    """Seconds of each stage and "in all" of a prediction; "computing" is processor time but that of the decoder."""
    begun, computing = time.perf_counter(), time.process_time()
    outcome = next(pipeline.run([clip]))
    scored = time.perf_counter()
    pipeline.score(outcome)
    ended = time.perf_counter()
    spent = {**outcome.timings, "fusion": ended - scored}
    whole = ended - begun
    rest = {"other": whole - sum(spent.values()), "in all": whole, "computing": time.process_time() - computing}
    return {**spent, **rest}


def warm() -> None:
    """Of further clips in one process, and the share of each stage in the median run."""
    with tempfile.TemporaryDirectory() as made, msapipe.load(cache=Path(made) / "cache", device="cpu") as pipeline:
        first = timed(pipeline, Clip(FIRST[0].name, FIRST[0], text=FIRST[1]))
        print(f"\nin one process, words given; {FIRST[0].name} first, which loads all: {first['in all']:.2f} s")
        for source, text in WARM:
            if not source.is_file():
                print(f"{source} is not there: left out")
                continue
            runs = sorted((timed(pipeline, c) for c in copies(source, text, Path(made))), key=lambda run: run["in all"])
            show(source.name, runs)


def show(name: str, runs: list[dict[str, float]]) -> None:
    """The median of runs, fastest first, with the load of the machine that it was measured under."""
    median = runs[len(runs) // 2]
    whole, load = median["in all"], os.getloadavg()[0]
    print(f"{name}: median of {len(runs)} runs {whole:.2f} s ({runs[0]['in all']:.2f} to {runs[-1]['in all']:.2f})")
    print(f"  {os.cpu_count()} cores, {load:.1f} processes at work on them; {median['computing']:.2f} s of computing")
    stages = {stage: spent for stage, spent in median.items() if stage not in ("in all", "computing")}
    for stage, spent in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"  {stage:<22} {spent:6.3f} {spent / whole:6.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=["start", "warm"], default=["start", "warm"])
    for part in parser.parse_args().parts:
        {"start": from_start, "warm": warm}[part]()


if __name__ == "__main__":
    main()
