"""Seconds per epoch of LMF, TFN and MulT against MMSA's own, on one pickle of CMU-MOSI's sizes, in one run.

``--mmsa /path/to/python``: an interpreter that has MMSA (``uv venv there; uv pip install --python there/bin/python
MMSA torch==OURS``); without it only ours is measured. An epoch is training, validation and saving, as each program
does them; the first is left out. Features are random numbers, lengths are drawn like MOSI's. MMSA runs with its 4
loader processes and with none; the ratio is to the faster. Batches, layers and rates are MMSA's for MOSI; MulT is ours
with ``causal=true positions=false``, as MMSA's is.

The bound is what no program on this machine can go below with the same numbers: the multiplications of an epoch at the
speed of one large matrix product, and the parameters, gradients and moments of Adam read and written once a step at
the speed of memory, both measured in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from timeit import timeit
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.flop_counter import FlopCounterMode

from msapipe.cli._training import markdown
from msapipe.fusion import fusion_models
from msapipe.fusion._base import FusionModel
from msapipe.train.data import load_data
from msapipe.train.loop import Line, Loop
from msapipe.train.settings import Settings
from msapipe.train.study import make_fabric
from msapipe.train.table import TensorTable

# Steps and columns of MMSA's two files of MOSI.
COLUMNS = {"text": 768, "audio": 5, "vision": 20}
STEPS = {
    "unaligned": {"text": 50, "audio": 500, "vision": 375},
    "aligned": {"text": 50, "audio": 50, "vision": 50},
}
# What MMSA's MulT is, where ours differs by default; LMF and TFN have no such parameter.
PARAMS: dict[str, dict[str, Any]] = {"lmf": {}, "tfn": {}, "mult": {"causal": True, "positions": False}}
PARAMETERS = {"lmf": 505_071, "tfn": 9_497_043, "mult": 2_571_551}
WORKERS = (0, 4)
WORDS_A_SECOND, LONGEST_SECONDS = 2.9, 30.0


# Seconds on the clock and of processors.
Epoch = tuple[float, float]


@dataclass
class Row:
    """What was measured of a model on one file: its epochs, MMSA's by the number of loader processes."""

    ours: list[Epoch] = field(default_factory=list)
    mmsa: dict[int, list[Epoch]] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    bound: dict[str, float] = field(default_factory=dict)


def lengths(count: int, steps: Mapping[str, int], full: bool, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Valid steps of each clip: words as in MOSI (median 10), sound and pictures in proportion to the duration."""
    if full:
        return {name: np.full(count, longest) for name, longest in steps.items()}
    words = random.lognormal(np.log(10), 0.6, count)
    text = np.clip(np.round(1.15 * words + 2), 5, steps["text"]).astype(int)
    if len(set(steps.values())) == 1:
        return dict.fromkeys(steps, text)
    share = np.minimum(1.0, words / WORDS_A_SECOND / LONGEST_SECONDS)
    return {name: text if name == "text" else np.ceil(share * longest).astype(int) for name, longest in steps.items()}


def split(name: str, count: int, steps: Mapping[str, int], full: bool, random: np.random.Generator) -> dict[str, Any]:
    """One split of MMSA's pickle."""
    valid = lengths(count, steps, full, random)
    found: dict[str, Any] = {"id": [f"{name}{row}$_$1" for row in range(count)], "raw_text": ["words"] * count}
    for part, longest in steps.items():
        there = np.arange(longest) < valid[part][:, None]
        found[part] = random.standard_normal((count, longest, COLUMNS[part]), np.float32) * there[..., None]
    mask = np.arange(steps["text"]) < valid["text"][:, None]
    found["text_bert"] = np.stack([mask * 100, mask, mask * 0], axis=1).astype(np.float32)
    if len(set(steps.values())) > 1:
        found |= {f"{part}_lengths": valid[part].tolist() for part in ("audio", "vision")}
    found["regression_labels"] = random.uniform(-3, 3, count).astype(np.float32)
    return found


def write(path: Path, kind: str, clips: int, full: bool) -> None:
    """A pickle of ``clips`` clips for training, and of validation and test in MOSI's proportions."""
    random = np.random.default_rng(1)
    sizes = {"train": clips, "valid": clips * 229 // 1284, "test": 8}
    data = {name: split(name, count, STEPS[kind], full, random) for name, count in sizes.items()}
    path.write_bytes(pickle.dumps(data, protocol=4))


def ours(model: str, path: Path, epochs: int, threads: int, folder: Path) -> None:
    """Train one of ours; one JSON line as ``_mmsa_epoch`` prints it."""
    torch.set_num_threads(threads)
    data = load_data(path)
    tables = [TensorTable.of(data.split(name), data.dims) for name in ("train", "valid")]
    torch.manual_seed(1111)
    built = fusion_models().get(model)(data.dims, **PARAMS[model])
    ends: list[Epoch] = []

    def tell(_: Line) -> None:
        ends.append((time.perf_counter(), sum(os.times()[:4])))

    with tempfile.TemporaryDirectory(dir=folder) as kept:
        Loop(built, *tables, Settings(epochs=epochs, patience=10**6), make_fabric(), Path(kept), tell).run()
    seconds = [tuple(np.subtract(after, before)) for before, after in pairwise(ends)]
    parameters = sum(part.numel() for part in built.parameters() if part.requires_grad)
    print(json.dumps({"seconds": seconds, "parameters": parameters, "bound": bound(built, tables, folder, parameters)}))


def bound(model: FusionModel, tables: list[TensorTable], folder: Path, parameters: int) -> dict[str, float]:
    """Seconds of an epoch's multiplications and of its optimiser's memory, and the multiplications themselves."""
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    hook = register_optimizer_step_post_hook(count)
    with FlopCounterMode(display=False) as counter, tempfile.TemporaryDirectory(dir=folder) as kept:
        Loop(model, *tables, Settings(epochs=1, patience=10**6), make_fabric(), Path(kept), lambda _: None).run()
    hook.remove()
    flops = counter.get_total_flops()
    # Adam reads a parameter, its gradient and two moments, and writes all but the gradient: seven floats.
    return {
        "GFLOP": flops / 1e9,
        "multiplying": flops / matrix_peak(),
        "optimiser": steps * parameters * 7 * 4 / memory_speed(),
    }


def matrix_peak(size: int = 2048) -> float:
    """FLOP/s of a large matrix product in float32."""
    one, other = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / _least(lambda: torch.mm(one, other))


def memory_speed(floats: int = 1 << 26) -> float:
    """Bytes a second of a sum of two arrays in place."""
    one, other = torch.zeros(floats), torch.ones(floats)
    return 3 * 4 * floats / _least(lambda: one.add_(other))


def _least(call: Callable[[], object]) -> float:
    return min(timeit(call, number=1) for _ in range(5))


def run(threads: int, *command: object) -> tuple[list[Epoch], dict[str, Any]]:
    """Run one of the two programs: its epochs after the first, and all that it says.

    Threads that wait sleep: spinning ones measure whatever else the machine does.
    """
    told = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run([str(part) for part in command], env={**os.environ, **told}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    return [(wall, cpu) for wall, cpu in found["seconds"]], found


def median(epochs: list[Epoch], which: int = 0) -> float:
    """Of the seconds on the clock (0) or of a processor (1)."""
    return statistics.median(epoch[which] for epoch in epochs)


def spread(epochs: list[Epoch]) -> str:
    """Median, least and most seconds on the clock."""
    walls = [wall for wall, _ in epochs]
    return f"{median(epochs):.3g} ({min(walls):.3g} to {max(walls):.3g})" if epochs else "-"


def cells(model: str, kind: str, row: Row) -> dict[str, object]:
    """A row of the table."""
    table: dict[str, object] = {"model": model, "file": kind}
    table |= {f"MMSA, {workers} workers, s": spread(row.mmsa[workers]) for workers in row.mmsa}
    table["ours, s"] = spread(row.ours)
    for which, name in enumerate(("ratio", "ratio of CPU s")):
        least = min((median(part, which) for part in row.mmsa.values()), default=None)
        table[name] = "-" if least is None else f"{least / median(row.ours, which):.2f}"
    floor = row.bound["multiplying"] + row.bound["optimiser"]
    table["GFLOP an epoch"] = f"{row.bound['GFLOP']:.0f}"
    table["bound, s (multiplying + optimiser)"] = f"{row.bound['multiplying']:.2g} + {row.bound['optimiser']:.2g}"
    table["ours is at"] = f"{floor / median(row.ours):.0%}"
    return table | {f"parameters {name}": f"{count:,}" for name, count in row.parameters.items()}


def measure(asked: argparse.Namespace, model: str, kind: str, path: Path, folder: Path) -> Row:
    """One model on one file, the two programs in turn, so that a busy machine slows both."""
    row = Row()
    here = Path(__file__)
    rest = (asked.epochs, asked.threads, folder)
    for _ in range(asked.rounds):
        for workers in asked.workers if asked.mmsa else ():
            command = (asked.mmsa, here.with_name("_mmsa_epoch.py"), model, path, kind, workers, *rest)
            epochs, told = run(asked.threads, *command)
            row.parameters["MMSA"] = told["parameters"]
            row.mmsa.setdefault(workers, []).extend(epochs)
        epochs, told = run(asked.threads, sys.executable, here, "--ours", model, path, *rest)
        row.parameters["ours"], row.bound = told["parameters"], told["bound"]
        row.ours.extend(epochs)
    for name, count in row.parameters.items():
        if count != PARAMETERS[model]:
            sys.exit(f"{name}'s {model} has {count:,} parameters, expected {PARAMETERS[model]:,}")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mmsa", type=Path, help="a Python that has MMSA")
    parser.add_argument("--models", nargs="+", default=list(PARAMS), choices=list(PARAMS))
    parser.add_argument("--files", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--clips", type=int, default=256, help="of the training split (default: 256)")
    parser.add_argument("--epochs", type=int, default=3, help="the first is not counted (default: 3)")
    parser.add_argument("--rounds", type=int, default=2, help="how often all is repeated (default: 2)")
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS), help="loader processes of MMSA")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--full", action="store_true", help="every clip is as long as the longest: no padding at all")
    parser.add_argument("--ours", nargs=5, metavar="...", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ours:
        model, path, epochs, threads, folder = asked.ours
        return ours(model, Path(path), int(epochs), int(threads), Path(folder))
    rows = []
    with tempfile.TemporaryDirectory() as made:
        for kind in asked.files:
            path = Path(made) / f"{kind}.pkl"
            write(path, kind, asked.clips, asked.full)
            for model in asked.models:
                rows.append(cells(model, kind, measure(asked, model, kind, path, Path(made))))
                print(f"{model}, {kind}: done, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    sizes = "full lengths" if asked.full else "lengths like MOSI's"
    print(f"\n{asked.clips} clips, {sizes}, {asked.threads} threads, torch {torch.__version__}\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
