"""A stage of your own in a pipeline: how bright each picture is, beside the face's expression.

uv run python examples/own_stage.py [CLIP]

In a package of its own the class is named by an entry point (group msapipe.vision), and any pipeline may say
``use: brightness``; a file msapipe/stages/vision/brightness.py in a checkout does the same.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import numpy as np

from msapipe import Pipeline
from msapipe.pipeline.spec import Use, load_spec
from msapipe.stages import Stage
from msapipe.types import FeatureSequence, Frames


@dataclass
class Brightness(Stage):
    """Luma of Rec. 709, mean over the picture: float32 (T, 1), in [0, 1].

    floor: darker pictures are not valid.
    """

    floor: float = 0.0

    def run(self, frames: Frames) -> FeatureSequence:
        """Read every sampled picture once, some at a time."""
        rows, times = [np.zeros((0, 1), np.float32)], [np.zeros((0, 2))]
        for batch in frames.batches(8):
            luma = batch.pixels.astype(np.float32) @ np.array([0.2126, 0.7152, 0.0722], np.float32) / 255
            rows.append(luma.mean((1, 2))[:, None])
            times.append(batch.times)
        values = np.concatenate(rows)
        return FeatureSequence.masked(values, np.concatenate(times), values[:, 0] >= self.floor, ("luma",))


def main(clip: str = "sample_media/positive.mp4") -> None:
    """Print the features of a clip with the new channel beside the old one."""
    pocket = load_spec("pocket")
    own = Use("vision", "light", "brightness", Brightness())
    # The model of pocket was trained without this channel, so the pipeline names none.
    spec = replace(pocket, stages={**pocket.stages, "vision": (*pocket.stages["vision"], own)}, model=None)
    with Pipeline(spec) as pipeline:
        vision = pipeline.features(clip)["vision"]
    print(vision, dict(vision.channels))
    first, last = vision.channels["light"]
    print("mean luma:", vision.values[vision.valid, first:last].mean().round(3))


if __name__ == "__main__":
    main(*sys.argv[1:])
