"""Seconds per epoch of MMSA's own training, run by ``train.py`` in an environment that has MMSA and not msapipe.

Arguments: model, pickle, "aligned" or "unaligned", workers of its data loaders, epochs, threads, a folder for what it
saves. One JSON line comes out: seconds on the clock and of processors of each epoch
after the first (training, validation and saving), and how many parameters learn.
MMSA's own ``MMSA_run`` runs. From outside come only: no CUDA device is set, ``ReduceLROnPlateau`` is spared an argument
that torch has dropped, and a clock sits before the training loader.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from MMSA import MMSA_run
from MMSA import run as mmsa
from MMSA.trains.singleTask import MULT as mult_trainer
from torch.optim.lr_scheduler import ReduceLROnPlateau


class Done(Exception):
    """Enough epochs were seen."""


class Clock:
    """A data loader that notes when each epoch begins."""

    def __init__(self, loader: Any, epochs: int) -> None:
        self.loader, self.epochs = loader, epochs
        self.begun: list[tuple[float, float]] = []

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        self.begun.append((time.perf_counter(), sum(os.times()[:4])))
        if len(self.begun) > self.epochs:
            raise Done
        return iter(self.loader)


def main() -> None:
    model, pickle, kind, workers, epochs, threads, folder = sys.argv[1:]
    torch.set_num_threads(int(threads))
    seen: dict[str, Any] = {}
    make_loaders, count = mmsa.MMDataLoader, mmsa.count_parameters

    def clocked(*args: Any) -> dict[str, Any]:
        loaders = make_loaders(*args)
        seen["clock"] = Clock(loaders["train"], int(epochs))
        return {**loaders, "train": seen["clock"]}

    def counted(built: torch.nn.Module) -> int:
        seen["parameters"] = count(built)
        return seen["parameters"]

    mmsa.MMDataLoader, mmsa.count_parameters = clocked, counted
    torch.cuda.set_device = lambda device: None
    sys.modules[mult_trainer.__module__].ReduceLROnPlateau = lambda *args, verbose=False, **rest: ReduceLROnPlateau(
        *args, **rest
    )
    changes = {"need_data_aligned": kind == "aligned", "early_stop": 10**6}
    where = {name: Path(folder) for name in ("model_save_dir", "res_save_dir", "log_dir")}
    with suppress(Done):
        MMSA_run(
            *(model, "mosi"),
            config=changes,
            custom_feature=pickle,
            seeds=[1111],
            gpu_ids=[],
            num_workers=int(workers),
            verbose_level=0,
            **where,
        )
    begun = seen["clock"].begun
    seconds = [[b - a for a, b in zip(*pair, strict=True)] for pair in pairwise(begun[1:])]
    print(json.dumps({"seconds": seconds, "parameters": seen["parameters"]}))


if __name__ == "__main__":
    main()
