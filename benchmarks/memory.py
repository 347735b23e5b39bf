"""Memory of fine-tuning on clips of the size of CH-SIMS v2: fakes of real size, a part of them, scaled to all.

Prints what the table of features takes as it is kept, and what it would take padded to the longest clip in float32.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from msapipe.formats import FORMATS
from msapipe.train.table import TensorTable
from msapipe.types import FeatureSequence, Sample

CLIPS, SIDE = 4403, 128
DIMS = {"text": 3, "audio": 320, "vision": 3 * SIDE**2}


def sequence(values: np.ndarray, rate: float) -> FeatureSequence:
    starts = np.arange(len(values)) / rate
    return FeatureSequence(values, np.stack([starts, starts + 1 / rate], axis=1), np.ones(len(values), bool))


def fakes(count: int) -> Iterator[Sample]:
    """Clips of 3.6 s on average, the longest 12 s: ids, sound at 16 kHz, ten pictures a second."""
    made = np.random.default_rng(0)
    for number in range(count):
        seconds = 12.0 if not number else float(np.clip(made.gamma(4.0, 0.9), 0.8, 12.0))
        pictures = made.integers(0, 256, (int(10 * seconds), DIMS["vision"]), np.uint8).astype(np.float32) / 255
        yield Sample(
            f"{number}",
            {
                "text": sequence(made.integers(1, 99, (20, 3)).astype(np.float32), 5),
                "audio": sequence(made.normal(0, 0.1, (int(50 * seconds), 320)).astype(np.float32), 50),
                "vision": sequence(pictures, 10),
            },
            {"M": 0.0},
            "train",
        )


def anonymous() -> float:
    """Gigabytes of this process that no file stands behind, now."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=60)
    count = parser.parse_args().clips
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.safetensors"
        FORMATS.get("safetensors")().write(path, fakes(count))
        before = anonymous()
        samples = list(FORMATS.get("safetensors")().read(path))
        read = anonymous() - before
        table = TensorTable.of(samples, DIMS)
        kept = anonymous() - before
        steps = {name: max(len(s.features[name].values) for s in samples) for name in DIMS}
        padded = sum(4 * CLIPS * steps[name] * DIMS[name] for name in DIMS) / 2**30
        scale = CLIPS / count
        print(f"{count} clips measured, scaled to {CLIPS} (longest {steps['vision'] / 10:g} s)")
        print(f"padded to the longest, float32: {padded:.1f} GiB")
        print(f"read from the file: {read * scale:.1f} GiB; with the table: {kept * scale:.1f} GiB")
        for name, part in table.ragged.items():
            print(f"  {name}: {part.rows.nbytes * scale / 2**30:.1f} GiB, {part.rows.dtype}")


if __name__ == "__main__":
    main()
