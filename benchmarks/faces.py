"""faces/mtcnn against facenet_pytorch.MTCNN.detect, on one thread, on the same decoded frames."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from facenet_pytorch import MTCNN
from PIL import Image

from msapipe.media import Decoder, MediaOptions
from msapipe.stages import STAGES
from msapipe.types import Clip, Frames

SAMPLES = Path(__file__).resolve().parents[1] / "sample_media"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "media"


def main() -> None:
    torch.set_num_threads(1)
    stage = STAGES["faces"].get("mtcnn")()
    stage.load("cpu")
    reference = MTCNN(keep_all=True, device="cpu")
    clips = [Path(name) for name in sys.argv[1:]] or [
        SAMPLES / "positive.mp4",
        *(SHARED / name for name in ("speech/grid_bbaf2n.mpg", "speech/retalk_1.mp4", "faces/crowd_1080p_facenet.mp4")),
    ]
    print(f"{'clip':<28} {'size':>10} {'frames':>6} {'ours ms':>8} {'facenet ms':>10} {'ratio':>6}")
    with Decoder() as decoder:
        for path in clips:
            if not path.is_file():
                print(f"{path.name:<28} not there")
                continue
            frames = decoder.frames(Clip(path.name, path), MediaOptions())
            pictures = [
                (p, a, b) for batch in frames.batches(16) for p, (a, b) in zip(batch.pixels, batch.times, strict=True)
            ]
            begun = time.perf_counter()
            stage.run(Frames(lambda pictures=pictures: iter(pictures)))
            ours = (time.perf_counter() - begun) / len(pictures) * 1e3
            begun = time.perf_counter()
            for picture, _, _ in pictures[:10]:
                reference.detect(Image.fromarray(np.asarray(picture)))
            theirs = (time.perf_counter() - begun) / len(pictures[:10]) * 1e3
            height, width = pictures[0][0].shape[:2]
            size = f"{width}x{height}"
            print(f"{path.name:<28} {size:>10} {len(pictures):>6} {ours:>8.1f} {theirs:>10.1f} {theirs / ours:>6.1f}")


if __name__ == "__main__":
    main()
