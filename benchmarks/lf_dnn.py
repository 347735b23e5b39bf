"""LF-DNN trained by MMSA and here on the same folds of 25 CMU-MOSI videos, and what each difference is worth.

``--mmsa /path/to/python``: an interpreter that has MMSA (see ``mmsa_forward.py``). Setting (a) of ``mosi.py``: five
folds by video, a vector a clip and modality, stopping by the same clips. The arms undo one difference each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from mosi import data_of, splits
from torch import nn

from msapipe.cli._training import markdown
from msapipe.formats import FORMATS
from msapipe.fusion._base import FusionModel, Phase, owners
from msapipe.fusion._subnet import Subnets
from msapipe.train import loop
from msapipe.train.metrics import score
from msapipe.train.settings import Settings
from msapipe.train.study import Study, make_fabric

FOLDS = 5


@dataclass(frozen=True)
class Arm:
    """A training here. biases: weight decay acts on them and on norms.   text_dropout: on the text's state."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    biases: bool = False
    text_dropout: bool = True


UNCLIPPED = {"single": {"phase.all.clip": None}}
ARMS = (
    Arm("as it is"),
    Arm("weight decay on biases too", biases=True),
    Arm("features not standardised", {"standardize": False}),
    Arm("no dropout on the text", text_dropout=False),
    Arm("gradients not bounded", UNCLIPPED),
    Arm("not standardised, no dropout on the text", {"standardize": False}, text_dropout=False),
    Arm("all four", {"standardize": False, **UNCLIPPED}, biases=True, text_dropout=False),
)


def all_decay(model: FusionModel, phase: Phase) -> torch.optim.Optimizer:
    """One group of everything, as MMSA's trainer has it."""
    named = dict(model.named_parameters())
    parts = [named[name] for name in owners(model, phase)]
    return torch.optim.Adam(parts, lr=phase.groups[0].lr, weight_decay=phase.groups[0].weight_decay)


def without_text_dropout(self: Subnets, *given: Any) -> None:
    """In place of ``Subnets.__init__``."""
    BUILT(self, *given)
    self.nets["text"].layers[0] = nn.Identity()


BUILT = Subnets.__init__


def ours(arm: Arm, seed: int, folder: Path) -> dict[str, float]:
    """Scores of every clip, each by the fold that tests it."""
    found: dict[str, float] = {}
    with ExitStack() as stack:
        if arm.biases:
            stack.enter_context(mock.patch.object(loop, "_optimizer", all_decay))
        if not arm.text_dropout:
            stack.enter_context(mock.patch.object(Subnets, "__init__", without_text_dropout))
        for fold in range(FOLDS):
            study = Study(data_of("a", fold), "lf_dnn", {}, Settings(**arm.settings), folder / arm.name)
            found |= study.run(seed, make_fabric()).predictions["test"]
    return found


def theirs(python: Path, seeds: list[int], folder: Path) -> list[dict[str, float]]:
    """The same by MMSA."""
    there = folder / "mmsa"
    there.mkdir(parents=True, exist_ok=True)
    (there / "seeds.json").write_text(json.dumps(seeds))
    for fold in range(FOLDS):
        if not (there / f"{fold}.pkl").is_file():
            FORMATS.get("mmsa")().write(there / f"{fold}.pkl", list(data_of("a", fold).samples))
    script = Path(__file__).with_name("_mmsa_scores.py")
    subprocess.run([str(python), str(script), "lf_dnn", str(there)], check=True, capture_output=True)
    found = []
    for seed in seeds:
        parts = [json.loads((there / f"{fold}-{seed}.json").read_text()) for fold in range(FOLDS)]
        found.append({clip.partition("$_$")[2]: value for part in parts for clip, value in part.items()})
    return found


def row(name: str, runs: list[dict[str, float]]) -> dict[str, object]:
    """Mean and deviation over seeds."""
    truth = {s.id: s.labels["M"] for part in splits("a")[0] for s in part}
    scores = [score(list(truth.values()), [run[clip] for clip in truth], "mosi") for run in runs]
    cells: dict[str, object] = {"training": name}
    for metric in ("mae", "corr", "acc2_non0"):
        values = [float(each[metric] or 0.0) for each in scores]
        cells[metric] = f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mmsa", type=Path, required=True, help="an interpreter that has MMSA")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("lf-dnn-runs"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    seeds = [1111 + number for number in range(asked.seeds)]
    rows = [row("MMSA", theirs(asked.mmsa, seeds, asked.folder))]
    print(rows[0], flush=True)
    for arm in ARMS:
        rows.append(row(f"here, {arm.name}", [ours(arm, seed, asked.folder) for seed in seeds]))
        print(rows[-1], flush=True)
    print(markdown(rows))


if __name__ == "__main__":
    main()
