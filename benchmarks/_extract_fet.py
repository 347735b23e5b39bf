"""MFCC and BERT's states of ten clips against MMSA-FET (its Python by --mmsa-fet), or, without it, against naive.py.

From process start (`msapipe extract` into an empty cache against a program that does the same), and of the nine clips
after the first in one process. Networks of random numbers; the same words for every clip.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import yaml
from _extract_table import SAMPLES, SHARED, Row, timed
from _extract_weights import TEXT, checkpoint

import msapipe
from msapipe import Clip
from msapipe.types import FeatureSequence

HERE = Path(__file__).parent
CLIPS = [
    *(SAMPLES / f"{name}.mp4" for name in ("positive", "negative", "two_faces", "subtitled")),
    *(SHARED / "speech" / f"retalk_{number}.mp4" for number in (1, 2, 3)),
    *(SHARED / "speech" / f"grid_{name}.mpg" for name in ("bbaf2n", "lwbsza")),
    SHARED / "faces" / "multi_shot_hamilton.mp4",
]


def spec(place: Path) -> Path:
    """A pipeline that makes what they make."""
    mfcc = {"use": "mfcc", "n_mfcc": 40, "deltas": False, "energy": False, "pitch": False}
    bert = {"use": "bert", "checkpoint": str(checkpoint("bert", place)), "unit": "piece"}
    stages = {"transcript": ["sidecar"], "words": ["given", "spread"], "text": bert, "audio": mfcc}
    media = {"fps": 10, "rate": 16000, "peak_db": -3}
    target = place / "mfcc_bert.yaml"
    whole = {"schema": 1, "about": "MFCC and BERT", "media": media, "stages": stages, "align": "none"}
    target.write_text(yaml.safe_dump(whole, sort_keys=False))
    return target


def theirs(clips: list[Path], place: Path, python: Path | None) -> dict[str, float]:
    """What the other program prints; it writes features below ``place``."""
    asked = place / "asked.json"
    asked.write_text(json.dumps({"clips": [[str(c), TEXT] for c in clips], "bert": str(checkpoint("bert", place))}))
    programs = place / "programs"
    programs.mkdir()
    (programs / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    command = [str(python), HERE / "_fet_features.py"] if python else [sys.executable, HERE / "naive.py"]
    ran = subprocess.run(
        [*command, asked, place], env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}, capture_output=True
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr.decode().strip().rpartition("\n")[2])
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def agreement(features: list[dict[str, FeatureSequence]], place: Path) -> str:
    """Relative errors: the largest of a clip for BERT, the median for MFCC."""
    errors: dict[str, list[float]] = {"text": [], "audio": []}
    for number, found in enumerate(features):
        other = np.load(place / f"{number}.npz")
        for name, every in errors.items():
            first = int(name == "audio")  # MFCC 0 tells the level, and msapipe raises it
            mine, wanted = found[name].values[:, first:], other[name][:, first:]
            wanted = wanted[1:-1] if name == "text" and len(wanted) == len(mine) + 2 else wanted
            count = min(len(mine), len(wanted))
            every.append(float(np.linalg.norm(mine[:count] - wanted[:count]) / np.linalg.norm(wanted[:count])))
    return f"bert off by {max(errors['text']):.0e}; mfcc by {np.median(errors['audio']):.0e} (resampled otherwise)"


def rows(place: Path, python: Path | None = None) -> Iterator[Row]:
    """From process start, and of further clips."""
    place = place / "fet"
    place.mkdir()
    clips = []
    for clip in filter(Path.is_file, CLIPS):
        clips.append(Path(shutil.copy(clip, place)))
        clips[-1].with_suffix(".txt").write_text(TEXT)
    name = "MMSA-FET" if python else "librosa and transformers (MMSA-FET not given)"
    part = f"MFCC and BERT of {len(clips)} clips against {name}"
    try:
        other = theirs(clips, place, python)
    except RuntimeError as error:
        yield Row(part, None, None, agreement=f"not measured: {error}", reach="4")
        return
    file = spec(place)
    program = [
        str(Path(sys.executable).with_name("msapipe")),
        "extract",
        *map(str, clips),
        "-p",
        str(file),
        "-q",
        "--jobs",
        "1",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = timed(lambda: subprocess.run([*program, "--cache", str(place / "a")], check=True, env=environment))
    with msapipe.load(str(file), cache=place / "b", device="cpu") as pipe:
        features = [pipe.features(Clip(clips[0].name, clips[0]))]
        later = timed(lambda: features.extend(pipe.features(Clip(clip.name, clip)) for clip in clips[1:]))
    found = agreement(features, place)
    yield Row(f"{part}, from process start", whole, other["all"], "s", found, "4", "imports")
    note = f"with the 13 features of its example theirs take {other['example']:.1f} s" if "example" in other else ""
    yield Row(f"{part}, after the first clip", later, other["others"], "s", note, "", "BERT, decode, writing the cache")
