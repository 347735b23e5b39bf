"""The features of a clip as numpy arrays and as a table of pandas, and a clip that is in memory only.

uv run python examples/features_in_pandas.py [CLIP]        needs pandas, which msapipe does not
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

import msapipe
from msapipe import FeatureSequence, Recording


def table_of(part: FeatureSequence) -> pd.DataFrame:
    """One row a step: its times, its columns by name, NaN where nothing was seen."""
    names = list(part.names) or [f"column_{number}" for number in range(part.values.shape[1])]
    table = pd.DataFrame(np.where(part.valid[:, None], part.values, np.nan), columns=names)
    table.insert(0, "start", part.times[:, 0])
    table.insert(1, "end", part.times[:, 1])
    return table


def main(clip: str = "sample_media/positive.mp4") -> None:
    """Print shapes, a table, and the score of a recording in memory."""
    with msapipe.load("pocket") as pipeline:
        features = pipeline.features(clip)
        for name, part in features.items():
            print(name, part)
        print(table_of(features["vision"]).filter(regex="start|end|valence|smile").describe().round(2))
        grey = np.full((20, 120, 160, 3), 128, np.uint8)
        tone = np.sin(np.linspace(0, 2 * np.pi * 440 * 2, 32000)).astype(np.float32) * 0.5
        said = "I did not like it at all."
        print(pipeline.predict(Recording(frames=grey, fps=10, samples=tone, rate=16000, text=said)))


if __name__ == "__main__":
    main(*sys.argv[1:])
