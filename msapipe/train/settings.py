"""Training settings that a user may change, for all of a model's phases or for one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from msapipe.errors import ConfigError
from msapipe.fusion._base import Phase
from msapipe.registry import did_you_mean
from msapipe.train.evaluate import SCORED_AT_ONCE

# Settings of a single phase, and of a group of parameters.
OF_PHASES = ("epochs", "batch", "optimizer", "schedule", "warmup", "clip", "accumulate", "monitor", "patience")
OF_GROUPS = ("lr", "weight_decay")
_POSITIVE = ("epochs", "batch", "lr", "patience")


@dataclass(frozen=True)
class Settings:
    """Changes to a model's phases; None keeps the setting of the model's paper.

    seed: of the initial weights, the order of clips and dropout.   standardize: centre and scale every column by the
    training split.   epochs: of the longest phase; the others scale with it, to at least one.   lr: of the fastest
    group of each phase; the other groups scale with it.   batch, weight_decay, patience, monitor: of all phases.
    single: settings of one phase or group, "phase.NAME.epochs", "group.NAME.lr" or "phase.NAME.group.NAME.lr", to their
    values; they override the others.   scored_at_once: batch size for evaluation.
    """

    seed: int = 1111
    epochs: int | None = None
    batch: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    patience: int | None = None
    monitor: str | None = None
    standardize: bool = True
    scored_at_once: int = SCORED_AT_ONCE
    single: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {name: getattr(self, name) for name in (*_POSITIVE, "scored_at_once")}
        for name, value in {**named, **self.single}.items():
            if name.rpartition(".")[2] in named and value is not None and value <= 0:
                raise ConfigError(f"{name}: found {value}, expected more than 0")

    def of(self, phases: Sequence[Phase]) -> list[Phase]:
        """The phases with these changes; raises ConfigError for an unknown phase or group."""
        longest = max(phase.epochs for phase in phases)
        changed = [self._common(phase, longest) for phase in phases]
        for path, value in self.single.items():
            changed = _changed(changed, path, value)
        return changed

    def _common(self, phase: Phase, longest: int) -> Phase:
        own = {
            name: getattr(self, name) for name in ("batch", "patience", "monitor") if getattr(self, name) is not None
        }
        if self.epochs is not None:
            own["epochs"] = max(1, math.ceil(self.epochs * phase.epochs / longest))
        groups = phase.groups
        if self.lr is not None:
            fastest = max(group.lr for group in groups)
            groups = tuple(replace(group, lr=self.lr * (group.lr / fastest)) for group in groups)
        if self.weight_decay is not None:
            groups = tuple(replace(group, weight_decay=self.weight_decay) for group in groups)
        return replace(phase, groups=groups, **own)


def _changed(phases: Sequence[Phase], path: str, value: Any) -> list[Phase]:
    """The phases with a change to one of them, or to one of their groups."""
    *where, key = path.split(".")
    asked = dict(zip(where[::2], where[1::2], strict=True))
    names = {"phase": [phase.name for phase in phases], "group": [g.name for phase in phases for g in phase.groups]}
    for kind, name in asked.items():
        known = list(dict.fromkeys(names[kind]))
        if name not in known:
            raise ConfigError(
                f"--set {path}: no {kind} is called {name!r}{did_you_mean(name, known)}; there is {', '.join(known)}"
            )
    out = []
    for phase in phases:
        if asked.get("phase", phase.name) == phase.name:
            if key in OF_GROUPS:
                groups = tuple(
                    replace(group, **{key: value}) if asked.get("group", group.name) == group.name else group
                    for group in phase.groups
                )
                phase = replace(phase, groups=groups)
            else:
                phase = replace(phase, **{key: value})
        out.append(phase)
    return out
