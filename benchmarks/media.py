"""`msapipe extract` over a folder of real media: what became of each file, and how long the second run takes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from msapipe.cache import Store
from msapipe.pipeline.run import Runner
from msapipe.pipeline.spec import load_spec
from msapipe.types import Clip, FaceTracks

MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"


def extract(folder: Path, cache: str, report: Path) -> tuple[float, int]:
    program = str(Path(sys.executable).with_name("msapipe"))
    begun = time.perf_counter()
    done = subprocess.run([program, "extract", str(folder), "--cache", cache, "--report", str(report)])
    return time.perf_counter() - begun, done.returncode


def one_face(file: str, runner: Runner) -> str:
    faces = runner.run(Clip("a", Path(file))).values.get("faces")
    if not isinstance(faces, FaceTracks) or not len(faces.times):
        return "-"
    return f"{np.mean(faces.faces_per_frame == 1):.0%}"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else MEDIA
    with tempfile.TemporaryDirectory() as work:
        report = Path(work) / "report.jsonl"
        first, code = extract(folder, f"{work}/cache", report)
        lines = [json.loads(line) for line in report.read_text().splitlines()]
        second, _ = extract(folder, f"{work}/cache", report)
        again = [json.loads(line) for line in report.read_text().splitlines()]
        with Runner(load_spec("pocket"), Store(Path(work) / "cache")) as runner:
            for line in sorted(lines, key=lambda line: line["file"]):
                shares = one_face(line["file"], runner) if line["status"] in ("ok", "partial") else "-"
                what = line["error"] or ", ".join(f"no {name}" for name in line["missing"])
                print(f"{line['status']:<8} one face {shares:>4}  {Path(line['file']).name:<32} {what}")
    computed = sum(line["computed"] for line in again)
    print(f"first run {first:.1f} s, exit code {code}; second run {second:.2f} s, computed {computed}")


if __name__ == "__main__":
    main()
