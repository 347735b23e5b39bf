"""A data set of which everything is stored: how long ``extract`` takes to find out, and to write it all to one file.

``--clips`` files of a few bytes get results of the sizes of CMU-MOSEI's features (text 50 x 768, audio 500 x 74, vision
375 x 35 at most, lengths drawn like MOSI's), put into the cache under the keys of a pipeline; then the program runs.

``--sounds`` extracts as many real files instead, 0.2 s of different noise each, by a pipeline of MFCC; runs again; then
flips a byte of, or shortens, 20 entries, the time of their content kept, and counts how many a plain run finds.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np
from faults import LIGHT, different, tree

from msapipe.cache import Store
from msapipe.cache.store import entry_bytes
from msapipe.pipeline.plan import plan
from msapipe.pipeline.spec import load_spec
from msapipe.testing.damage import damage
from msapipe.types import Clip, EncodedImages, FaceTracks, FeatureSequence, MediaInfo, Speaker, Transcript, Word

COLUMNS = {"text": 768, "audio": 74, "vision": 35}
STEPS_A_SECOND = {"text": 3.0, "audio": 20.0, "vision": 15.0}
DAMAGED = 20


def values(random: np.random.Generator) -> dict[str, object]:
    """What fills each slot of one clip."""
    seconds = float(np.clip(random.lognormal(np.log(4.2), 0.6), 1, 25))
    found: dict[str, object] = {
        "media": MediaInfo("mov,mp4", "h264 360x288 25 fps", "aac 44100 Hz", seconds),
        "transcript": Transcript((Word("word", 0.0, 1.0),), "en", "given"),
        "words": Transcript((Word("word", 0.0, 1.0),), "en", "given"),
    }
    frames = int(10 * seconds)
    times = np.stack([np.arange(frames), np.arange(1, frames + 1)], 1) / 10.0
    rows = np.arange(frames)
    found["faces"] = FaceTracks(
        times,
        (288, 360),
        np.zeros(frames, np.int64),
        rows.astype(np.int64),
        np.ones((frames, 4), np.float32),
        np.ones((frames, 5, 2), np.float32),
        np.ones(frames, np.float32),
        np.ones((frames, 3), np.float32),
        EncodedImages.join([random.bytes(4000) for _ in rows]),
    )
    found["speaker"] = Speaker(np.zeros(frames, np.int64), np.ones(frames, np.float32))
    for name, width in COLUMNS.items():
        steps = max(1, int(STEPS_A_SECOND[name] * seconds))
        grid = np.stack([np.arange(steps), np.arange(1, steps + 1)], 1) / STEPS_A_SECOND[name]
        found[name] = FeatureSequence(
            random.standard_normal((steps, width), np.float32),
            grid,
            np.ones(steps, bool),
            tuple(map(str, range(width))),
        )
    return found


def fill(root: Path, cache: Path, clips: int, pipeline_name: str) -> None:
    """The files of a data set, and what is stored of them."""
    spec, store, random = load_spec(pipeline_name), Store(cache), np.random.default_rng(1)
    rows = ["video_id,clip_id,text,label,mode"]
    for number in range(clips):
        video, clip = f"video{number // 10:05}", f"{number % 10}"
        path = root / "Raw" / video / f"{clip}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"clip {number}".encode())
        mode = ("train", "train", "valid", "test")[number // 10 % 4]
        rows.append(f"{video},{clip},word,{random.uniform(-3, 3):.2f},{mode}")
        made = values(random)
        for step in plan(Clip(f"{video}/{clip}", path, text="word"), spec, store).steps:
            value = made[step.slot]
            place = store.path(step.slot, step.key)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(entry_bytes(value, dict(step.made_from), ()))
    (root / "label.csv").write_text("\n".join(rows) + "\n")


def sounds(folder: Path, clips: int, jobs: int) -> None:
    """Extract real files, run again, damage entries, run again."""
    root, cache, spec, noise = folder / "sounds", folder / "cache", folder / "light.yaml", np.random.default_rng(1)
    spec.write_text(LIGHT)
    root.mkdir(exist_ok=True)
    for number in range(clips):
        with wave.open(str(root / f"{number:05}.wav"), "wb") as out:
            out.setparams((1, 2, 16000, 3200, "NONE", ""))
            out.writeframes(noise.integers(-9000, 9000, 3200, np.int16).tobytes())
    common = ("extract", str(root), "--pipeline", str(spec), "--cache", str(cache), "--quiet", "--jobs", str(jobs))
    for what in ("first run", "nothing to do", "nothing to do, again"):
        seconds, memory = run(*common)
        print(f"{clips} clips, {what}: {seconds:.1f} s, at most {memory} MB", flush=True)
    before, draw = tree(cache), random.Random(7)
    entries = sorted(cache.rglob("*.safetensors"))
    for path in draw.sample(entries, DAMAGED):
        damage(path, draw)
    hurt_now = different(tree(cache), before)
    seconds, memory = run(*common)
    found = hurt_now - different(tree(cache), before)
    print(
        f"{found} of {hurt_now} damaged entries (of {len(entries)}) found, computed again: {seconds:.1f} s, {memory} MB"
    )


def run(*command: str) -> tuple[float, int]:
    """Seconds, and the most memory that the program held (MB)."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "msapipe", *command])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"msapipe {' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - begun, used.ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=25_000)
    parser.add_argument("--pipeline", default="pocket")
    parser.add_argument("--formats", nargs="*", default=["safetensors"], help="endings of the files to write")
    parser.add_argument("--folder", type=Path, help="keep the data set here, and use what is there")
    parser.add_argument("--sounds", action="store_true", help="real files, of which some entries are then damaged")
    parser.add_argument("--jobs", type=int, default=2, help="processes with --sounds")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or Path(made)
        if asked.sounds:
            sounds(folder, asked.clips, asked.jobs)
            return
        root, cache = folder / "data", folder / "cache"
        if not (root / "label.csv").is_file():
            fill(root, cache, asked.clips, asked.pipeline)
        common = ("extract", str(root), "--pipeline", asked.pipeline, "--cache", str(cache), "--quiet")
        for what in ("first", "second"):
            seconds, memory = run(*common)
            print(f"{asked.clips} clips, nothing to do, {what} run: {seconds:.1f} s, at most {memory} MB", flush=True)
        for suffix in asked.formats:
            out = folder / f"out.{suffix}"
            seconds, memory = run(*common, "-o", str(out))
            print(f"and written to .{suffix}: {seconds:.1f} s, at most {memory} MB", flush=True)
    print(f"this program held {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
