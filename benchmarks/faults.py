"""The faults that a run must survive, injected into the real program: a row each, what was found, what is promised.

``--rows`` picks some, ``--strength full`` takes 50 kills, seeds 1 to 20 of make_bad.py and hours of video; ``quick`` is
what tests/faults runs. Nothing but temporary folders is written. Needs Linux; rows that need root, ``strace`` or the
files of ../shared say so when they cannot run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
SAMPLES = REPOSITORY / "sample_media"
SHARED = REPOSITORY.parent / "shared"
LIGHT = "schema: 1\nmedia: {rate: 16000}\nstages:\n  audio: {use: mfcc, pitch: false}\n"
NOT_COMPARED = (".lock", ".log", ".jsonl")


@dataclass
class Run:
    """What came of one run of the program."""

    code: int
    seconds: float
    lines: list[dict[str, Any]]
    said: str
    megabytes: int

    def by_name(self) -> dict[str, dict[str, Any]]:
        """Report lines by the name of their file."""
        return {Path(line["file"]).name: line for line in self.lines}


@dataclass
class Found:
    """A row of the table.   met: None when it could not be run here."""

    row: int
    fault: str
    promised: str
    figure: str
    met: bool | None


@dataclass
class Lab:
    """A folder to work in and how hard to try."""

    folder: Path
    full: bool = False
    pipeline: str = "pocket"
    made: int = field(default=0)

    def light(self) -> None:
        """A pipeline of little work, for faults that do not depend on what is computed; at full strength it stays."""
        if not self.full:
            spec = self.place("light.yaml")
            spec.write_text(LIGHT)
            self.pipeline = str(spec)

    def place(self, name: str) -> Path:
        """A new path."""
        self.made += 1
        return self.folder / f"{self.made:04}-{name}"

    def clips(self, count: int = 4) -> Path:
        """A folder with copies of sample clips, each with bytes of its own."""
        folder = self.place("clips")
        folder.mkdir()
        sources = sorted(SAMPLES.glob("*.mp4"))
        for number in range(count):
            # A free box behind the end of an mp4 changes its hash and nothing else.
            box = (12).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big")
            (folder / f"{number:02}.mp4").write_bytes(sources[number % len(sources)].read_bytes() + box)
        return folder

    def start(self, *arguments: object, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """The program in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "msapipe", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )

    def extract(
        self, *paths: object, cache: Path, more: tuple[object, ...] = (), env: dict[str, str] | None = None
    ) -> Run:
        """One whole extraction."""
        report, begun = self.place("report.jsonl"), time.monotonic()
        process = self.start(
            "extract", *paths, "--cache", cache, "--report", report, "-p", self.pipeline, *more, env=env
        )
        said = process.stderr.read().decode(errors="replace") if process.stderr else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return Run(process.returncode, time.monotonic() - begun, lines_of(report), said, used.ru_maxrss // 1024)

    @contextmanager
    def reference(self, clips: Path) -> Iterator[dict[str, str]]:
        """What an undisturbed run makes of these clips."""
        cache = self.place("reference")
        self.extract(clips, cache=cache, more=("--jobs", "2"))
        yield tree(cache)
        shutil.rmtree(cache, ignore_errors=True)


def lines_of(report: Path) -> list[dict[str, Any]]:
    """The lines of a report; the last one may be torn by a kill."""
    found = []
    for line in report.read_text(errors="replace").splitlines() if report.is_file() else ():
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def tree(cache: Path) -> dict[str, str]:
    """Hashes of all entries."""
    return {
        str(path.relative_to(cache)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(cache.rglob("*"))
        if path.is_file() and not path.name.endswith(NOT_COMPARED)
    }


def different(one: dict[str, str], other: dict[str, str]) -> int:
    """How many entries differ or are in one only."""
    return sum(one.get(name) != other.get(name) for name in {*one, *other})


def group_lives(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process of the group is left after two seconds, which the promise allows: one that dies is not left."""
    end = time.monotonic() + 2
    while time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    return True


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill all of a group that this program started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


Row = Callable[[Lab], Found]


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    from _faults_files import FILE_ROWS  # type: ignore[import-not-found]
    from _faults_runs import RUN_ROWS  # type: ignore[import-not-found]

    rows: dict[int, Row] = dict(sorted({**RUN_ROWS, **FILE_ROWS}.items()))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", choices=list(rows), default=list(rows))
    parser.add_argument("--strength", choices=["quick", "full"], default="quick")
    parser.add_argument("--pipeline", default="pocket")
    asked = parser.parse_args()
    random.seed(1)
    print("| # | fault | promised | found | met |\n|---|---|---|---|---|", flush=True)
    failed = 0
    for number in asked.rows:
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            begun = time.monotonic()
            lab = Lab(Path(folder), asked.strength == "full", asked.pipeline)
            if number in RUN_ROWS:
                lab.light()
            found = rows[number](lab)
            met = {True: "yes", False: "NO", None: "not run"}[found.met]
            failed += found.met is False
            seconds = time.monotonic() - begun
            print(
                f"| {number} | {found.fault} | {found.promised} | {found.figure} ({seconds:.0f} s) | {met} |",
                flush=True,
            )
    sys.exit(min(failed, 1))


if __name__ == "__main__":
    main()
