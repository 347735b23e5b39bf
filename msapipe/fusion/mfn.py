"""Memory Fusion Network: one LSTM per modality, and a memory that attends to joint changes of their cells.

Zadeh et al., "Memory Fusion Network for Multi-view Sequential Learning" (2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from msapipe.fusion._aligned import last_step, one_grid
from msapipe.fusion._base import Batch, FusionModel, Group, Output, Phase, Preset
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._subnet import two_layers

# Units and dropout of a hidden layer.
Layer = tuple[int, float]


class Mfn(FusionModel):
    """(B, T_m, D_m) per modality, on one grid (B, N, D_m) by ``_aligned.one_grid``, to scores (B,).

    At each step, c* is the cells of all modalities before and after it (B, 2 H); attended = softmax over c*, times c*;
    a proposal chat = tanh, two gates = sigmoid of [attended; memory]; memory = retain * memory + update * chat. The
    score reads states and memory (B, H + memory) at the last valid step.
    hidden: units of text, audio and vision.   attention, proposal, retain, update, out: units and dropout of each
    hidden layer (the paper's NN1, NN2, gamma 1, gamma 2 and the last one). MMSA's code uses audio and vision that are
    constant in time; here they are sequences.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Zadeh et al.",
        "year": 2018,
        "inputs": "text, audio, vision",
        "aligned": "one grid",
        "tasks": "M",
        "parameters": 2_172_657,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (256, 32, 256),
                "memory": 400,
                "attention": (32, 0.2),
                "proposal": (64, 0.0),
                "retain": (256, 0.7),
                "update": (32, 0.5),
                "out": (128, 0.0),
                "batch": 128,
                "lr": 0.002,
                "weight_decay": 0.0,
            },
        ),
        "mosei": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (128, 32, 128),
                "memory": 128,
                "attention": (128, 0.2),
                "proposal": (128, 0.5),
                "retain": (256, 0.7),
                "update": (256, 0.0),
                "out": (128, 0.5),
                "batch": 64,
                "lr": 5e-4,
                "weight_decay": 1e-4,
            },
        ),
        "sims": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (64, 16, 64),
                "memory": 64,
                "attention": (128, 0.2),
                "proposal": (128, 0.0),
                "retain": (64, 0.2),
                "update": (64, 0.7),
                "out": (64, 0.7),
                "batch": 32,
                "lr": 0.001,
                "weight_decay": 0.0,
            },
        ),
        "sims_v2": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (128, 16, 128),
                "memory": 400,
                "attention": (32, 0.2),
                "proposal": (128, 0.5),
                "retain": (32, 0.5),
                "update": (32, 0.2),
                "out": (64, 0.2),
                "batch": 64,
                "lr": 0.001,
                "weight_decay": 0.0,
            },
        ),
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: tuple[int, int, int] = (256, 32, 256),
        memory: int = 400,
        attention: Layer = (32, 0.2),
        proposal: Layer = (64, 0.0),
        retain: Layer = (256, 0.7),
        update: Layer = (32, 0.5),
        out: Layer = (128, 0.0),
    ) -> None:
        super().__init__(dims)
        check_sizes(hidden=hidden, memory=memory)
        units = dict(zip(("text", "audio", "vision"), hidden, strict=True))
        self.cells = nn.ModuleDict({name: nn.LSTMCell(width, units[name]) for name, width in dims.items()})
        total = sum(units[name] for name in dims)
        self.memory = memory
        self.attention = _layers("attention", 2 * total, attention, 2 * total)
        self.proposal = _layers("proposal", 2 * total, proposal, memory)
        self.retain = _layers("retain", 2 * total + memory, retain, memory)
        self.update = _layers("update", 2 * total + memory, update, memory)
        self.out = _layers("out", total + memory, out, 1)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        values, mask = one_grid(self.standardized(batch), list(self.dims))
        runs = [_run(self.cells[name], values[name]) for name in self.dims]
        states, cells = (torch.cat(parts, dim=2) for parts in zip(*runs, strict=True))
        before = nn.functional.pad(cells, (0, 0, 1, 0))[:, :-1]
        change = torch.cat([before, cells], dim=2)
        attention = self.attention(change).softmax(dim=2)
        memories = self._remember(attention * change)
        fused = torch.cat([last_step(states, mask), last_step(memories, mask)], dim=1)
        return Output(
            score=self.out(fused)[:, 0],
            features={"fused": fused},
            diagnostics={"attention": last_step(attention, mask).detach()},
        )

    def _remember(self, attended: Tensor) -> Tensor:
        """The memory after each step: (B, N, 2 H) to (B, N, memory)."""
        proposals = torch.tanh(self.proposal(attended))
        memory = attended.new_zeros(len(attended), self.memory)
        memories = []
        for seen, proposal in zip(attended.unbind(1), proposals.unbind(1), strict=True):
            both = torch.cat([seen, memory], dim=1)
            memory = torch.sigmoid(self.retain(both)) * memory + torch.sigmoid(self.update(both)) * proposal
            memories.append(memory)
        return torch.stack(memories, dim=1)

    def phases(self) -> tuple[Phase, ...]:
        """MMSA's settings for MOSI."""
        return (Phase(groups=(Group(lr=2e-3),), batch=128),)


def _layers(name: str, width: int, layer: Layer, out: int) -> nn.Sequential:
    units, dropout = layer
    check_sizes(**{name: units})
    check_dropouts(**{name: dropout})
    return two_layers(width, units, out, dropout)


def _run(cell: nn.Module, values: Tensor) -> tuple[Tensor, Tensor]:
    """States and cells after each step: (B, N, D) to (B, N, H) twice."""
    now: tuple[Tensor, Tensor] | None = None
    steps = []
    for value in values.unbind(1):
        now = cell(value, now)
        steps.append(now)
    states, cells = zip(*steps, strict=True)
    return torch.stack(states, dim=1), torch.stack(cells, dim=1)
