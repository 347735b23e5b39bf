"""The one training loop: a model's phases over a training split; keeps each one's best epoch and can resume."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError, MsapipeError
from msapipe.fusion._base import Batch, FusionModel, Output, Phase, owners
from msapipe.train import memory
from msapipe.train.evaluate import evaluate
from msapipe.train.settings import Settings
from msapipe.train.table import TensorTable, to_device

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# Least time between saved states: writing millions of parameters may take longer than an epoch.
SECONDS_BETWEEN_SAVES = 10.0

# The improvement by which an epoch counts as better, and the final learning rate of a cosine schedule.
LEAST_GAIN = 1e-6
LEAST_RATE = 1e-6

# Clips per batch that a model is shown between epochs.
SHOWN_AT_ONCE = 256

Line = dict[str, float | int | str]


@dataclass
class State:
    """The state of a training: plain values and tensors only, so that it can be read without unpickling."""

    phase: int = 0
    epoch: int = 0
    since: int = 0
    best: float = math.inf
    best_model: dict[str, Tensor] = field(default_factory=dict)
    history: list[Line] = field(default_factory=list)


class Loop:
    """Trains one model on one split.

    folder: keeps the state, so that a killed run resumes; None keeps nothing.   tell: called with the metrics of every
    epoch.
    """

    def __init__(
        self,
        model: FusionModel,
        train: TensorTable,
        valid: TensorTable,
        settings: Settings,
        fabric: Fabric,
        folder: Path | None = None,
        tell: Callable[[Line], None] = lambda line: None,
    ) -> None:
        self.model, self.train, self.valid = model, train, valid
        self.settings, self.fabric, self.tell = settings, fabric, tell
        self._file = folder / "state.pt" if folder else None
        self.state = State()
        self._saved = time.monotonic()

    def run(self) -> list[Line]:
        """Train to the end; the model then holds the last phase's best epoch. Returns the metrics of each epoch."""
        with memory.kept():
            self._prepare()
            saved = self._load()
            for number, phase in enumerate(self.settings.of(self.model.phases())):
                if number >= self.state.phase:
                    _Running(self, phase, saved if number == self.state.phase else None).run()
                    self.state = State(phase=number + 1, history=self.state.history)
                    saved = None
                    self._save({})
        return self.state.history

    def _prepare(self) -> None:
        if not len(self.train) or not len(self.valid):
            raise MsapipeError("a split is empty: training needs clips in train and in valid")
        if self.settings.standardize and self.model.standardizes:
            for name in self.model.dims.keys() - self.model.raw:
                mean, std = self.train.statistics(name)
                self.model.get_buffer(f"center_{name}").copy_(mean)
                self.model.get_buffer(f"std_{name}").copy_(std)
            for table in (self.train, self.valid):
                table.standardize(self.model)
        elif self.train.whole.standard or self.valid.whole.standard:
            raise ValueError("the tables were standardised for another model; make them anew")
        self.model.to(self.fabric.device)

    def batches(self, which: Tensor, size: int) -> Iterator[Batch]:
        """Batches of the training split on the device."""
        for batch in self.train.batches(which, size, self.model.by_video):
            yield to_device(batch, self.fabric.to_device)

    def _load(self) -> dict[str, Any] | None:
        if self._file is None or not self._file.is_file():
            return None
        saved: dict[str, Any] = torch.load(self._file, map_location=self.fabric.device, weights_only=True)
        self.state = State(**saved["state"])
        _put(self.model, saved["model"])
        return saved if saved["optimizer"] else None

    def save(self, more: Callable[[], dict[str, Any]]) -> None:
        """Save the state, unless this was done a moment ago."""
        if time.monotonic() - self._saved >= SECONDS_BETWEEN_SAVES:
            self._save(more())

    def _save(self, more: dict[str, Any]) -> None:
        """Write the state whole or not at all."""
        self._saved = time.monotonic()
        if self._file is None or not self.fabric.is_global_zero:
            return
        whole = {"state": vars(self.state), "model": _everything(self.model), "optimizer": None, **more}
        part = self._file.with_suffix(".part")
        torch.save(whole, part)
        os.replace(part, self._file)


class _Running:
    """One phase of a running training."""

    def __init__(self, loop: Loop, phase: Phase, saved: dict[str, Any] | None) -> None:
        self.loop, self.phase, self.state = loop, phase, loop.state
        self.model = loop.model
        labels = loop.train.whole.labels
        lacking = [name for name in phase.labels if not labels[name].isfinite().any()]
        if lacking:
            columns = ", ".join("label" if name == "M" else f"label_{name}" for name in lacking)
            raise MsapipeError(
                f"phase {phase.name} learns from the labels {', '.join(phase.labels)}, and no clip of the training "
                f"split has {', '.join(lacking)}; give a table with {columns} by --labels, or choose what needs only "
                "the common label (of boosting: --set regime=single)"
            )
        self.rows = self.model.choose(phase.name, labels, loop.train.labelled(phase.labels))
        if not len(self.rows):
            raise MsapipeError(f"phase {phase.name}: no clip of the training split is left to learn from")
        passes = [self.rows, torch.arange(len(loop.train))] if phase.mixed else [self.rows]
        counts = [loop.train.count(rows, phase.batch, self.model.by_video) for rows in passes]
        self.steps = sum(math.ceil(count / phase.accumulate) for count in counts)
        self._begin(saved)

    def _begin(self, saved: dict[str, Any] | None) -> None:
        if saved is None:
            self.model.begin(self.phase.name, lambda: self.loop.batches(self.rows, SHOWN_AT_ONCE))
        self.learning = _set_learning(self.model, self.phase)
        self.optimizer = _optimizer(self.model, self.phase)
        self.forward, self.optimizer = self.loop.fabric.setup(self.model, self.optimizer)
        self.slower = 1.0
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._factors())
        if saved is not None:
            self.optimizer.load_state_dict(saved["optimizer"])
            self.schedule.load_state_dict(saved["schedule"])
            self.slower = saved["slower"]
            torch.set_rng_state(saved["random"].cpu())

    def run(self) -> None:
        """Run all epochs; the model then holds the best one."""
        while self.state.epoch < self.phase.epochs and not self._enough():
            self.state.epoch += 1
            loss = self._epoch(self.state.epoch)
            size = self.loop.settings.scored_at_once
            found = evaluate(self.model, self.loop.valid, self.loop.fabric, self.phase, size)
            self._judge(found)
            line: Line = {"phase": self.phase.name, "epoch": self.state.epoch, "loss": loss}
            line |= {f"valid_{name}": value for name, value in found.items()}
            self.state.history.append(line)
            self.loop.tell(line)
            self.loop.save(self._position)
        if self.state.best_model:
            _put(self.model, self.state.best_model)

    def _position(self) -> dict[str, Any]:
        """The state besides the model that resuming needs."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "slower": self.slower,
            "random": torch.get_rng_state(),
        }

    def _enough(self) -> bool:
        return self.phase.patience is not None and self.state.since >= self.phase.patience

    def _epoch(self, epoch: int) -> float:
        """One pass over the training split; returns the mean loss."""
        loop, phase = self.loop, self.phase
        self.model.begin_epoch(phase.name, epoch, lambda: loop.batches(self.rows, SHOWN_AT_ONCE))
        _train_mode(self.model, self.learning)
        if phase.mixed:
            self._pass(torch.arange(len(loop.train)), epoch, f"{phase.name}_mixed")
        return self._pass(self.rows, epoch, phase.name)

    def _pass(self, rows: Tensor, epoch: int, name: str) -> float:
        """One pass over these rows in random order with the loss of phase ``name``; returns the mean loss."""
        loop, phase = self.loop, self.phase
        order = rows[torch.randperm(len(rows), generator=self._generator(epoch))]
        if loop.fabric.world_size > 1:
            order = order[loop.fabric.global_rank :: loop.fabric.world_size]
        batches = loop.train.count(order, phase.batch, self.model.by_video)
        total = 0.0
        for number, batch in enumerate(loop.batches(order, phase.batch), 1):
            output = self.forward(batch)
            loss = self.model.loss(output, batch, name)
            self._check(loss, batch, epoch)
            loop.fabric.backward(loss / phase.accumulate)
            if number % phase.accumulate == 0 or number == batches:
                self._step()
            total += float(loss.detach()) * len(batch)
            self.model.after_step(_detached(output), batch, name, epoch)
        return total / len(order)

    def _step(self) -> None:
        if self.phase.clip is not None:
            # Frozen parameters have no gradient and do not count in the norm.
            learning = [part for part in self.model.parameters() if part.grad is not None]
            clip = nn.utils.clip_grad_norm_ if self.phase.clip_by == "norm" else nn.utils.clip_grad_value_
            clip(learning, self.phase.clip)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()

    def _check(self, loss: Tensor, batch: Batch, epoch: int) -> None:
        if not loss.isfinite():
            rows = batch.index[:3].tolist() if batch.index is not None else []
            named = ", ".join(self.loop.train.ids[row] for row in rows)
            raise MsapipeError(
                f"the loss is {float(loss.detach()):g} in phase {self.phase.name}, epoch {epoch}, in the batch of "
                f"clips {named} ...; look at their features, or train slower: --set lr={self.phase.groups[0].lr / 10:g}"
            )

    def _generator(self, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.loop.settings.seed * 100_003 + self.state.phase * 10_007 + epoch)

    def _judge(self, found: dict[str, float]) -> None:
        """Remember the epoch if it is the best so far."""
        monitor = self.phase.monitor
        if monitor == "last":
            return
        value = found.get(monitor, math.nan)
        error = value if monitor == "loss" or monitor.startswith("mae") else -value
        if error < self.state.best - LEAST_GAIN:
            self.state.best, self.state.since = error, 0
            self.state.best_model = {name: part.detach().clone() for name, part in self.model.state_dict().items()}
            return
        self.state.since += 1
        patience = max(1, (self.phase.patience or 10) // 2)
        if self.phase.schedule == "plateau" and self.state.since % patience == 0:
            self.slower *= 0.1
            for group in self.optimizer.param_groups:
                group["lr"] *= 0.1

    def _factors(self) -> list[Callable[[int], float]]:
        """The learning-rate factor of each parameter group as a function of the step; a cosine ends at LEAST_RATE."""
        return [partial(self._factor, least=LEAST_RATE / group["lr"]) for group in self.optimizer.param_groups]

    def _factor(self, step: int, least: float) -> float:
        """The learning-rate factor of a step; least: the final factor of a cosine."""
        phase, every = self.phase, max(1, self.phase.epochs * self.steps)
        warm = phase.warmup * every
        if step < warm:
            return (step + 1) / (warm + 1)
        share = min(1.0, (step - warm) / max(1.0, every - warm))
        if phase.schedule == "linear":
            return 1.0 - share
        if phase.schedule == "cosine":
            return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * share))
        return self.slower if phase.schedule == "plateau" else 1.0


def _set_learning(model: FusionModel, phase: Phase) -> set[str]:
    """Freeze parameters outside the phase; returns the names of the trainable ones."""
    learning = set(owners(model, phase))
    if not learning:
        raise ConfigError(f"phase {phase.name}: no parameter begins with any of {phase.groups}")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in learning)
    return learning


def _train_mode(model: FusionModel, learning: set[str]) -> None:
    """Train mode for modules with trainable parameters; frozen ones keep dropout and batch statistics off."""
    model.train()
    for name, module in model.named_modules():
        own = [f"{name}.{part}" if name else part for part, _ in module.named_parameters()]
        if own and not learning.intersection(own):
            module.eval()


def _optimizer(model: FusionModel, phase: Phase) -> torch.optim.Optimizer:
    named = dict(model.named_parameters())
    mine = owners(model, phase)
    groups: list[dict[str, Any]] = []
    for number, group in enumerate(phase.groups):
        own = [named[name] for name, owner in mine.items() if owner == number]
        for parameters, decay in (
            ([p for p in own if p.ndim > 1], group.weight_decay),
            ([p for p in own if p.ndim <= 1], 0.0),
        ):
            if parameters:
                groups.append({"params": parameters, "lr": group.lr, "weight_decay": decay})
    cls = torch.optim.AdamW if phase.optimizer == "adamw" else torch.optim.Adam
    # Fused takes an eighth of the time for millions of parameters, but is not the default on a CPU.
    return cls(groups, fused=True)


def _detached(output: Output) -> Output:
    return Output(
        score=output.score.detach(),
        unimodal={name: part.detach() for name, part in output.unimodal.items()},
        features={name: part.detach() for name, part in output.features.items()},
        diagnostics=output.diagnostics,
        classes=None if output.classes is None else output.classes.detach(),
    )


def _everything(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and all buffers, even those outside model files (tables of pseudo-labels)."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _put(model: nn.Module, saved: dict[str, Tensor]) -> None:
    """Copy saved tensors back; buffers that a phase created are replaced by the saved ones."""
    with torch.no_grad():
        mine = _everything(model)
        for name, part in saved.items():
            if name in mine and mine[name].shape == part.shape:
                mine[name].copy_(part)
            else:
                owner, _, last = name.rpartition(".")
                model.get_submodule(owner).register_buffer(last, part, persistent=False)
