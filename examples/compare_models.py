"""Compare two fusion models on the same features, cross-validated by video.

uv run python examples/compare_models.py [FEATURES] [OUTPUT FOLDER]

FEATURES: a file that ``msapipe extract FOLDER -o`` wrote, with labels. Without it the sample clips are taken.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from train_on_a_folder import labelled_samples, msapipe


def main(features: str | None = None, output: str | None = None) -> None:
    """Print the table of both models and of always saying the mean."""
    made = Path(output or tempfile.mkdtemp(prefix="msapipe-example-"))
    if features is None:
        features = str(made / "features.safetensors")
        msapipe("extract", labelled_samples(made / "videos"), "-o", features)
    table = made / "comparison"
    few = ["--seeds", "1111", "--set", "epochs=5"]
    msapipe("compare", features, "--models", "lf_dnn,lmf", "--folds", "3", *few, "-o", table)


if __name__ == "__main__":
    main(*sys.argv[1:])
