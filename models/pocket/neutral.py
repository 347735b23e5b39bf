"""What the face and the voice head of ``pocket`` say of real clips, and of people who talk and mean nothing by it.

    uv run python models/pocket/neutral.py [--media ../shared/media]

Prints, in Markdown, the mean valence of face and voice of every clip, before and after it is centred, and what the
neutral talkers come to: the neutral points of msapipe/stages/vision/expression.py and msapipe/stages/audio/prosody.py
are their medians. About two minutes on one core.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from numpy.typing import NDArray

from msapipe.cache import Store
from msapipe.pipeline.run import Options, Runner
from msapipe.pipeline.spec import parse_spec
from msapipe.types import Clip

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parents[1] / "sample_media"
MEDIA = HERE.parents[2] / "shared" / "media"
PIPELINE = """schema: 1
media: {fps: 10, rate: 16000, peak_db: -3}
stages:
  faces: {use: mtcnn, min_score: 0.9}
  speaker: {use: largest}
  audio: {use: prosody}
  vision: {use: expression}
"""
NEGATIVE = {"vision": ("anger", "disgust", "fear", "sadness"), "audio": ("angry", "sad")}
POSITIVE = {"vision": "happiness", "audio": "happy"}

Said = dict[str, float]
log = logging.getLogger("neutral")


def means(runner: Runner, path: Path) -> Said:
    """Of a clip, the mean of ``vision valence``, ``vision emotion`` and so on; nothing of what was not seen or heard.

    emotion is what valence is made of: the positive probability less the negative ones, not centred.
    """
    found: Said = {}
    outcome = runner.run(Clip(path.name, path))
    for modality, part in outcome.features.items():
        if not part.valid.any():
            continue
        seen = part.values[part.valid].mean(0, dtype=np.float64)
        mean = {name.rpartition(".")[2]: float(value) for name, value in zip(part.names, seen, strict=True)}
        found[f"{modality} valence"] = mean["valence"]
        found[f"{modality} emotion"] = mean[POSITIVE[modality]] - sum(mean[name] for name in NEGATIVE[modality])
        if "smile" in mean:
            found["vision smile"] = mean["smile"]
    return found


def is_neutral(path: Path) -> bool:
    """Whether people only talk: they read commands, or their mouths were made to."""
    return path.parent.name == "speech"


def table(said: dict[Path, Said]) -> Iterator[str]:
    """A row a clip, and what the neutral ones come to."""
    columns = ("vision emotion", "vision smile", "vision valence", "audio emotion", "audio valence")
    yield "| clip | " + " | ".join(columns) + " |"
    yield "|---|" + "---|" * len(columns)
    for path, found in said.items():
        shown = [f"{found[name]:+.2f}" if name in found else "" for name in columns]
        yield f"| {path.name} | " + " | ".join(shown) + " |"
    for name in columns:
        values: NDArray[np.float64] = np.array([f[name] for path, f in said.items() if is_neutral(path) and name in f])
        yield (
            f"neutral talkers, {name}: median {np.median(values):+.3f}, mean {values.mean():+.3f}, "
            f"deviation {values.std():.3f}, {int((values > 0).sum())} of {len(values)} above 0"
        )


def main() -> None:
    """Run every clip, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=MEDIA)
    parser.add_argument("--cache", type=Path, help="where faces are kept; without it they are found anew")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    endings = (".mp4", ".mpg", ".wav", ".flac")
    paths = sorted(SAMPLES.glob("*.mp4"))
    paths += sorted(path for path in options.media.rglob("*") if path.suffix in endings)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(options.cache or Path(folder))
        with Runner(parse_spec(PIPELINE, "neutral"), store, Options("cpu", offline=True)) as runner:
            said = {path: means(runner, path) for path in paths}
    for line in table({path: found for path, found in said.items() if found}):
        log.info(line)


if __name__ == "__main__":
    main()
