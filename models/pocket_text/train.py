"""Distil the teacher into all-MiniLM-L6-v2 and write pocket_text.safetensors, int8, beside this file.

    uv run python models/pocket_text/train.py MINILM_FOLDER MPNET_FOLDER TEACHER_FILE [--seed 0] [--out FOLDER]

The student learns the labels of the train parts and, of many more texts, the teacher's score: of every text of the
train parts, of MELD and SIMS as a whole, and of stretches cut out of longer texts. Validation parts of MOSI and MOSEI
are only looked at. What is computed in use is imported from msapipe.stages.text.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from corpora import Noise, Row, read_rows
from finetune import Reader, batches, fit, load_taught, say
from measure import report
from numpy.typing import NDArray
from safetensors.numpy import save_file
from teacher import RANK, SCALE_OF
from torch.nn import functional

from msapipe.stages.text._sentence_reader import SentenceReader, pack

HERE = Path(__file__).resolve().parent
FILE = "pocket_text.safetensors"
WEIGHTS = {"mosi": 4.0, "mosei": 1.2, "sims_v2": 0.4, "meld": 0.4, "everyday": 3.0, "stretch": 0.3}
STEPS, RATE, HEAD_RATE, LABEL = 5000, 2e-4, 1e-3, 0.3
STRETCH = (3, 14)  # words of what is cut out of longer texts


@dataclass(frozen=True)
class Taught:
    """Texts with the teacher's score on MOSI's scale, and a label where there is one (NaN elsewhere)."""

    texts: list[str]
    score: NDArray[np.float32]
    label: NDArray[np.float32]
    scale: NDArray[np.int64]
    weight: NDArray[np.float64]


def taught(rows: list[Row], teacher: Path, base: Path, seed: int, kept: Path) -> Taught:
    """What the student learns from; the teacher's scores are kept in a file."""
    random = np.random.default_rng(seed)
    used = [row for row in rows if row.train or row.corpus in ("meld", "sims_v2")]
    stretches = [cut(row.text.split(), random) for row in used if len(row.text.split()) > 2 * STRETCH[0]]
    texts = [row.text for row in used] + stretches
    if kept.is_file():
        score = np.load(kept)["score"]
    else:
        reader = load_taught(base, teacher, RANK)
        reader.fast = True
        score = reader.scores(texts).astype(np.float32)
        np.savez(kept, score=score)
    if len(score) != len(texts):
        raise ValueError(f"{kept}: {len(score)} scores of other texts than these {len(texts)}; remove it")
    nothing = [np.nan] * len(stretches)
    label = [row.label if row.train and row.corpus != "meld" else np.nan for row in used] + nothing
    return Taught(
        texts,
        score.clip(-3.2, 3.2),
        np.array(label, np.float32),
        np.array([SCALE_OF[row.corpus] for row in used] + [0] * len(stretches)),
        np.array([WEIGHTS[row.corpus] for row in used] + [WEIGHTS["stretch"]] * len(stretches)),
    )


def cut(words: list[str], random: np.random.Generator) -> str:
    """A stretch of words out of a text."""
    length = int(random.integers(STRETCH[0], min(STRETCH[1], len(words)) + 1))
    first = int(random.integers(0, len(words) - length + 1))
    return " ".join(words[first : first + length])


class Lesson:
    """Smooth L1 to the teacher's score, and less of it to the label where there is one."""

    def __init__(self, data: Taught, noise: Noise) -> None:
        self._data, self._noise = data, noise

    def __call__(self, reader: Reader, chosen: NDArray[np.int64]) -> torch.Tensor:
        """A number."""
        data = self._data
        said = reader.read(reader.pool([self._noise(data.texts[i]) for i in chosen]))
        first = torch.zeros(len(chosen), dtype=torch.long)
        teacher = functional.smooth_l1_loss(
            reader.on_scale(said, first), torch.from_numpy(data.score[chosen]), beta=0.5
        )
        label, scale = torch.from_numpy(data.label[chosen]), torch.from_numpy(data.scale[chosen])
        error = functional.smooth_l1_loss(reader.on_scale(said, scale), label.nan_to_num(), reduction="none")
        return teacher + LABEL * (error * label.isfinite()).mean()


def main() -> None:
    """Train, write the file, and say how good it is."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("base", "teacher_base", "teacher"):
        options.add_argument(name, type=Path)
    options.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--steps", type=int, default=STEPS)
    options.add_argument("--out", type=Path, default=HERE)
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows = read_rows(given.data)
    data = taught(rows, given.teacher, given.teacher_base, 0, given.out / "teacher_scores.npz")
    torch.manual_seed(given.seed)
    reader = Reader(given.base)
    say(f"{len(data.texts)} texts to learn from")
    body = list(reader.encoder.parameters())
    head = [value for name, value in reader.named_parameters() if not name.startswith(("encoder.", "mood."))]
    fit(
        reader,
        [{"params": body, "lr": RATE}, {"params": head, "lr": HEAD_RATE}],
        Lesson(data, Noise(rows, np.random.default_rng(given.seed))),
        batches(np.array([len(text) for text in data.texts]), data.weight, given.seed),
        given.steps,
        lambda step: report(reader.scores, rows, quick=step < given.steps),
    )
    torch.save(reader.state_dict(), given.out / f"student{given.seed}.pt")
    write(reader, given.base, given.out)
    stored = SentenceReader.read(given.out / FILE)
    say("as stored:")
    report(lambda texts: np.array([stored.score(text) for text in texts]), rows)
    path = given.out / FILE
    say(f'    sha256="{hashlib.sha256(path.read_bytes()).hexdigest()}",')
    say(f"    bytes={path.stat().st_size},")


def write(reader: Reader, base: Path, out: Path) -> None:
    """The student, the scale of MOSI folded into its last layer, and its tokenizer, in one file."""
    state = {name: value.detach().float().numpy() for name, value in reader.state_dict().items()}
    scale, bias = state.pop("scale")[0], state.pop("bias")[0]
    state["score.weight"], state["score.bias"] = state["score.weight"] * scale, state["score.bias"] * scale + bias
    state = {
        name: value for name, value in state.items() if not name.startswith("mood.") and "position_ids" not in name
    }
    save_file(pack(state, (base / "tokenizer.json").read_text(encoding="utf-8")), out / FILE)


if __name__ == "__main__":
    main()
