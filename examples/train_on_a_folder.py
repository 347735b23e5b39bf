"""Extract the features of a folder of clips, train a fusion model on them, and score a clip by it.

uv run python examples/train_on_a_folder.py [FOLDER WITH A label.csv] [OUTPUT FOLDER]

Without a folder the sample clips are taken, with labels made up for the example: too few to learn anything from.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[1] / "sample_media"
MADE_UP = {
    "positive": 2.6,
    "negative": -2.4,
    "no_face": 1.0,
    "silent_face": 0.0,
    "subtitled": 2.8,
    "two_faces": 2.2,
    "vfr": 2.0,
}


def main(folder: str | None = None, output: str | None = None) -> None:
    """Run the three commands that a user types, and print what they say."""
    made = Path(output or tempfile.mkdtemp(prefix="msapipe-example-"))
    videos = Path(folder) if folder else labelled_samples(made / "videos")
    features, model = made / "features.safetensors", made / "my-model"
    msapipe("extract", videos, "-o", features)
    msapipe("train", features, "--model", "lf_dnn", "--seeds", "1111", "--set", "epochs=5", "-o", model)
    msapipe("predict", SAMPLES / "positive.mp4", "--model", model)


def labelled_samples(folder: Path) -> Path:
    """The sample clips in a folder of their own, beside a label.csv."""
    folder.mkdir(parents=True)
    with (folder / "label.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "video_id", "clip_id", "label"])
        for name, label in MADE_UP.items():
            shutil.copy(SAMPLES / f"{name}.mp4", folder)
            table.writerow([f"{name}.mp4", name, name, label])
    return folder


def msapipe(*arguments: object) -> None:
    """One command, as on a command line; its errors end the example."""
    subprocess.run([sys.executable, "-m", "msapipe", *map(str, arguments)], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
