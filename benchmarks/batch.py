"""A data set through ``extract``: killed three times and resumed against undisturbed, and one against two workers.

``--clips`` clips are made of the sample clips and ../shared/media, each with other bytes and hence other keys, in the
layout of MOSI or SIMS, a twentieth of them broken files of ../shared/badmedia. Printed: whether the two caches are the
same bytes, what became of every clip, seconds with one and two workers, and the most memory that a worker held.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SHARED = HERE.parent / "shared"
LONGEST_BYTES = 3_000_000
KILLS = 3


def sources() -> list[Path]:
    """Clips of a few seconds."""
    found = sorted((HERE / "sample_media").glob("*.mp4")) + sorted((SHARED / "media" / "speech").glob("*.mp*"))
    return [path for path in found if path.stat().st_size < LONGEST_BYTES]


def broken() -> list[Path]:
    """Files of which nothing can be read, as their manifest says: "clear error", and no "or" about it."""
    with (SHARED / "badmedia" / "MANIFEST.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if "clear error" in row["expect"] and " or " not in row["expect"]]
    found = (SHARED / "badmedia" / row["file"] for row in rows)
    return [path for path in found if path.is_file() and path.stat().st_size < LONGEST_BYTES]


def make(root: Path, clips: int, layout: str) -> None:
    """The data set: Raw/<video>/<clip>.mp4 and label.csv."""
    good, bad = sources(), broken()
    columns = ["video_id", "clip_id", "text", "label", "mode"]
    columns += ["label_T", "label_A", "label_V"] if layout == "sims" else []
    scale = 1 if layout == "sims" else 3
    chance = random.Random(1)
    with (root / "label.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        for number in range(clips):
            video, clip = (f"video_{number // 10:04}", f"{number % 10:04}") if layout == "sims" else _mosi(number)
            damaged = number % 20 == 19
            source = (bad if damaged else good)[number // 20 % len(bad) if damaged else number % len(good)]
            place = root / "Raw" / video / f"{clip}.mp4"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(source.read_bytes() + (b"" if damaged else _tail(source, number)))
            label = {name: f"{chance.uniform(-scale, scale):.1f}" for name in columns if name.startswith("label")}
            mode = ("train", "train", "train", "valid", "test")[number // 10 % 5]
            table.writerow({"video_id": video, "clip_id": clip, "text": "a good film", "mode": mode, **label})


def _tail(source: Path, number: int) -> bytes:
    """What players pass over, a free box or a padding packet: other bytes of the same clip."""
    if source.suffix == ".mp4":
        return struct.pack(">I4sI", 12, b"free", number)
    return struct.pack(">IHI", 0x1BE, 4, number)


def _mosi(number: int) -> tuple[str, str]:
    return f"video{number // 10}", str(number % 10 + 1)


@dataclass
class Run:
    """How an ``extract`` ended: exit code, seconds, and the most memory that one of its processes held (MB)."""

    code: int
    seconds: float
    memory: int


def extract(root: Path, cache: Path, report: Path, jobs: int, kill_after: float | None = None) -> Run:
    """Run the program, and kill it and its children after a while if asked to."""
    command = [sys.executable, "-m", "msapipe", "extract", str(root), "--cache", str(cache), "--report", str(report)]
    begun = time.perf_counter()
    process = subprocess.Popen([*command, "--jobs", str(jobs), "--quiet"], stderr=subprocess.DEVNULL)
    most = [0]
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, most, done))
    watcher.start()
    try:
        code = process.wait(kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        code = process.wait()
    done.set()
    watcher.join()
    return Run(code, time.perf_counter() - begun, most[0])


def _watch(process: int, most: list[int], done: threading.Event) -> None:
    """The most resident memory of a child, looked at five times a second."""
    while not done.wait(0.2):
        for child in _below(process):
            try:
                status = Path(f"/proc/{child}/status").read_text()
            except OSError:
                continue
            held = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
            most[0] = max(most[0], held // 1024)


def _below(process: int) -> list[int]:
    """Children of all its threads, and theirs."""
    children: list[int] = []
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            children += [int(number) for number in listed.read_text().split()]
    return [one for child in children for one in (child, *_below(child))]


def same(one: Path, other: Path) -> str:
    """How the entries of two caches differ, in words."""
    files = [{path.relative_to(cache): path for path in cache.glob("*/??/*.safetensors")} for cache in (one, other)]
    only = len(files[0].keys() ^ files[1].keys())
    differ = sum(files[0][name].read_bytes() != files[1][name].read_bytes() for name in files[0].keys() & files[1])
    return f"{len(files[0])} entries, {only} in one only, {differ} with other bytes"


def outcome(report: Path) -> str:
    """How many clips ended how, and errors without a cause."""
    lines = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    count = Counter(line["status"] for line in lines)
    nameless = sum(line["status"] == "error" and line["file"] not in (line["error"] or "") for line in lines)
    return f"{count['ok'] + count['partial']} good, {count['error']} errors, {nameless} of them without a name"


def resumed(work: Path, clips: int, layout: str) -> None:
    """An undisturbed run against one that is killed at random moments and started again."""
    root = work / layout
    root.mkdir()
    make(root, clips, layout)
    whole = extract(root, work / f"{layout}-whole", work / "whole.jsonl", 2)
    print(f"{layout}: {clips} clips in {whole.seconds:.0f} s, exit code {whole.code}: {outcome(work / 'whole.jsonl')}")
    chance = random.Random(layout)
    for _ in range(KILLS):
        moment = chance.uniform(0.1, 0.4) * whole.seconds
        killed = extract(root, work / f"{layout}-killed", work / "killed.jsonl", 2, moment)
        print(f"{layout}: kill -9 after {killed.seconds:.1f} s")
    last = extract(root, work / f"{layout}-killed", work / "killed.jsonl", 2)
    print(f"{layout}: resumed in {last.seconds:.0f} s, exit code {last.code}: {outcome(work / 'killed.jsonl')}")
    print(f"{layout}: {same(work / f'{layout}-whole', work / f'{layout}-killed')}", flush=True)


def workers(work: Path, clips: int) -> None:
    """Seconds with one and with two workers, and memory with few and with many clips."""
    root = work / "speed"
    root.mkdir()
    make(root, clips // 4, "mosi")
    seconds = {}
    for jobs in (1, 2):
        run = extract(root, work / f"jobs{jobs}", work / "jobs.jsonl", jobs)
        seconds[jobs] = run.seconds
        print(f"--jobs {jobs}: {clips // 4} clips in {run.seconds:.1f} s, a process held at most {run.memory} MB")
    print(f"ratio {seconds[1] / seconds[2]:.2f}", flush=True)
    more = work / "more"
    more.mkdir()
    make(more, clips, "mosi")
    run = extract(more, work / "jobs-more", work / "jobs.jsonl", 2)
    print(f"--jobs 2: {clips} clips in {run.seconds:.1f} s, a process held at most {run.memory} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--parts", nargs="+", default=["mosi", "sims", "workers"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        for part in asked.parts:
            if part == "workers":
                workers(Path(made), asked.clips)
            else:
                resumed(Path(made), asked.clips, part)


if __name__ == "__main__":
    main()
