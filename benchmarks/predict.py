"""Wall time of `msapipe predict` from process start, on the sample clips: nothing cached, everything cached, --help."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[1] / "sample_media"
RUNS = 3


def seconds(*arguments: str) -> float:
    begun = time.perf_counter()
    subprocess.run([str(Path(sys.executable).with_name("msapipe")), *arguments], check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    print(f"median of {RUNS} runs, seconds from process start")
    print(f"{'--help':<24} {statistics.median(seconds('--help') for _ in range(RUNS)):6.2f}")
    for clip in sorted(SAMPLES.glob("*.mp4")):
        cold, cached = [], []
        for _ in range(RUNS):
            with tempfile.TemporaryDirectory() as cache:
                cold.append(seconds("predict", str(clip), "--cache", cache))
                cached.append(seconds("predict", str(clip), "--cache", cache))
        print(f"{clip.name:<24} {statistics.median(cold):6.2f} cold {statistics.median(cached):6.2f} cached")


if __name__ == "__main__":
    main()
