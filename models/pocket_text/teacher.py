"""Fine-tune all-mpnet-base-v2 by maps of low rank: the reader of ``text/studio``, and the teacher of ``text/pocket``.

    uv run python models/pocket_text/teacher.py MPNET_FOLDER [--data ../shared/data] [--seed 0] [--out FOLDER]

MPNET_FOLDER holds model.safetensors, config.json and tokenizer.json of sentence-transformers/all-mpnet-base-v2. Only
train and validation parts are read; the validation parts are looked at, nothing is chosen by them while it runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from corpora import MELD_CLASSES, Noise, Row, read_rows
from finetune import Reader, adapt, batches, fit, merge, say
from measure import report
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.nn import functional

WEIGHTS = {"mosi": 4.0, "mosei": 1.0, "sims_v2": 0.3, "meld": 0.4, "everyday": 2.0}
SCALE_OF = {"mosi": 0, "mosei": 1, "sims_v2": 2, "meld": 0, "everyday": 0}
RANK, STEPS, RATE, HEAD_RATE = 16, 1000, 5e-4, 1e-3


class Lesson:
    """The loss over a batch of rows of all corpora: smooth L1 of scores, cross-entropy of MELD's classes."""

    def __init__(self, rows: list[Row], noise: Noise) -> None:
        self._rows, self._noise = rows, noise

    def __call__(self, reader: Reader, chosen: NDArray[np.int64]) -> torch.Tensor:
        """A number."""
        rows = [self._rows[i] for i in chosen]
        pooled = reader.pool([self._noise(row.text) for row in rows])
        label = torch.tensor([row.label for row in rows])
        meld = torch.tensor([row.corpus == "meld" for row in rows])
        said = reader.on_scale(reader.read(pooled), torch.tensor([SCALE_OF[row.corpus] for row in rows]))
        score = functional.smooth_l1_loss(said, label, reduction="none")
        mood = functional.cross_entropy(
            reader.mood(pooled), label.long().clamp(0, len(MELD_CLASSES) - 1), reduction="none"
        )
        return torch.where(meld, mood, score).mean()


def main() -> None:
    """Train, report, write what was learned (not the base)."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("base", type=Path)
    options.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "data")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--steps", type=int, default=STEPS)
    options.add_argument("--out", type=Path, required=True)
    given = options.parse_args()
    torch.manual_seed(given.seed)
    rows = read_rows(given.data)
    train = [row for row in rows if row.train]
    say(f"{len(train)} rows to learn from")
    reader = Reader(given.base)
    adapt(reader, RANK)
    weight = np.array([WEIGHTS[row.corpus] for row in train])
    lengths = np.array([len(row.text) for row in train])
    inside = [value for value in reader.encoder.parameters() if value.requires_grad]
    outside = [value for name, value in reader.named_parameters() if not name.startswith("encoder.")]
    fit(
        reader,
        [{"params": inside, "lr": RATE}, {"params": outside, "lr": HEAD_RATE}],
        Lesson(train, Noise(train, np.random.default_rng(given.seed))),
        batches(lengths, weight, given.seed),
        given.steps,
        lambda step: report(reader.scores, rows, quick=step < given.steps),
    )
    given.out.mkdir(parents=True, exist_ok=True)
    learned = {
        name: value.detach().half().contiguous() for name, value in reader.named_parameters() if value.requires_grad
    }
    save_file(learned, given.out / "studio_text.safetensors")
    merge(reader)
    reader.fast = False
    report(reader.scores, rows)


if __name__ == "__main__":
    main()
