"""Several attentions over the states of all modalities, fed back into each of them at the next step.

Zadeh et al., "Multi-attention Recurrent Network for Human Communication Comprehension" (2018). MARN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from msapipe.fusion._aligned import last_step, one_grid
from msapipe.fusion._base import Batch, FusionModel, Group, Output, Phase
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._subnet import two_layers

MODALITIES = ("text", "audio", "vision")
Sizes = tuple[int, int, int]


class HybridCell(nn.Module):
    """A step of an LSTM that also reads z: long-short term hybrid memory.

    entered (B, 4 hidden), the projected input; state and cell (B, hidden); z (B, width).
    """

    def __init__(self, width: int, hidden: int, z: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, 4 * hidden)
        self.keep = nn.Linear(hidden, 4 * hidden)
        self.told = nn.Linear(z, 4 * hidden)

    def forward(self, entered: Tensor, state: Tensor, cell: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """The next state and cell."""
        forget, let, show, new = (entered + self.keep(state) + self.told(z)).chunk(4, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(let) * torch.tanh(new)
        return torch.sigmoid(show) * torch.tanh(cell), cell


class MultiAttention(nn.Module):
    """States of all modalities (B, H) to z (B, sum of compressed), by ``heads`` attentions over their H units."""

    def __init__(
        self, hidden: Mapping[str, int], compressed: Mapping[str, int], heads: int, units: int, dropout: float
    ) -> None:
        super().__init__()
        total = sum(hidden.values())
        self.heads, self.sizes = heads, list(hidden.values())
        self.attend = two_layers(total, units, heads * total, dropout)
        self.reduce = nn.ModuleDict(
            {name: two_layers(heads * size, units, compressed[name], dropout) for name, size in hidden.items()}
        )

    def forward(self, states: Tensor) -> Tensor:
        """Each head's weights sum to 1; a modality's parts of all heads are compressed together."""
        weight = self.attend(states).view(len(states), self.heads, -1).softmax(dim=2)
        parts = (weight * states.unsqueeze(1)).split(self.sizes, dim=2)
        small = [reduce(part.flatten(1)) for reduce, part in zip(self.reduce.values(), parts, strict=True)]
        return torch.cat(small, dim=1)


class Marn(FusionModel):
    """(B, T_m, D_m) per modality, on one grid (B, N, D_m) by ``_aligned.one_grid``, to scores (B,).

    At each step, every modality's memory reads its input, its own state and z; then z is recomputed from all states by
    several attentions. The score reads states and z at the last valid step.
    hidden, compressed: units of text, audio and vision in the memories, and of their parts of z.   heads: attentions.
    units: of all hidden layers.   softmax: normalise z to sum to 1 before the next step, as some code does.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Zadeh et al.",
        "year": 2018,
        "inputs": "text, audio, vision",
        "aligned": "one grid",
        "tasks": "M",
        "parameters": 802_313,
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: Sizes = (128, 16, 128),
        compressed: Sizes = (32, 8, 32),
        heads: int = 4,
        units: int = 64,
        dropout: float = 0.3,
        softmax: bool = False,
        lr: float = 1e-3,
    ) -> None:
        super().__init__(dims)
        check_sizes(hidden=hidden, compressed=compressed, heads=heads, units=units)
        check_dropouts(dropout=dropout)
        self.softmax, self.lr = softmax, lr
        sizes = {name: size for name, size in zip(MODALITIES, hidden, strict=True) if name in dims}
        smaller = {name: size for name, size in zip(MODALITIES, compressed, strict=True) if name in dims}
        self.z = sum(smaller.values())
        self.sizes = sizes
        self.cells = nn.ModuleDict({name: HybridCell(dims[name], size, self.z) for name, size in sizes.items()})
        self.block = MultiAttention(sizes, smaller, heads, units, dropout)
        self.score = two_layers(self.z + sum(sizes.values()), units, 1, dropout)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        values, mask = one_grid(self.standardized(batch), list(self.dims))
        memories = {name: cast(HybridCell, cell) for name, cell in self.cells.items()}
        entered = {name: cell.enter(values[name]) for name, cell in memories.items()}
        states = {name: mask.new_zeros(len(mask), size, dtype=torch.float32) for name, size in self.sizes.items()}
        cells = dict(states)
        z = mask.new_zeros(len(mask), self.z, dtype=torch.float32)
        steps = []
        for step in range(mask.shape[1]):
            told = z.softmax(dim=1) if self.softmax else z
            for name, cell in memories.items():
                states[name], cells[name] = cell(entered[name][:, step], states[name], cells[name], told)
            whole = torch.cat(list(states.values()), dim=1)
            z = self.block(whole)
            steps.append(torch.cat([z, whole], dim=1))
        fused = last_step(torch.stack(steps, dim=1), mask)
        return Output(score=self.score(fused)[:, 0], features={"fused": fused})

    def phases(self) -> tuple[Phase, ...]:
        """Ours: the paper states no settings."""
        return (Phase(groups=(Group(lr=self.lr),)),)
