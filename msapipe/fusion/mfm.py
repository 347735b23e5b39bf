"""Separates a discriminative factor from generative factors of the modalities; together they rebuild the input.

Tsai et al., "Learning Factorized Multimodal Representations" (2019). MFM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from msapipe.fusion._aligned import one_grid
from msapipe.fusion._base import Batch, FusionModel, Group, Output, Phase, Preset, mean_over
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._distances import mmd
from msapipe.fusion._subnet import SequenceNet
from msapipe.fusion.mfn import Layer, Mfn

MODALITIES = ("text", "audio", "vision")
Sizes = tuple[int, int, int]
Shares = tuple[float, float, float]


class Factor(nn.Module):
    """z to f: (B, z) to (B, f), two layers."""

    def __init__(self, width: int, out: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(width, out), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(out, out), nn.ReLU()),
        )

    def forward(self, z: Tensor) -> Tensor:
        """The factor."""
        return self.layers(z)  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """Unrolls a vector over time: (B, width) to (B, steps, out); each step's input is the previous state."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(width, width)
        self.out = nn.Linear(width, out)

    def forward(self, vector: Tensor, steps: int) -> Tensor:
        """The reconstructed steps."""
        state: tuple[Tensor, Tensor] | None = None
        states = []
        for _ in range(steps):
            state = self.cell(vector if state is None else state[0], state)
            states.append(state[0])
        return self.out(torch.stack(states, dim=1))  # type: ignore[no-any-return]


class Mfm(FusionModel):
    """(B, T_m, D_m) per modality, on one grid (B, N, D_m), to factors f_y (B, f_y) and f_m (B, f_m), to scores (B,).

    z_y comes from a memory fusion network (``mfn``), z_m from one LSTM per modality. In training, every z is
    regularised towards a normal distribution, and the concatenated f_y and f_m reconstruct the modality's steps.
    z, z_y, f, f_y: columns of z_m (text, audio, vision), z_y, f_m, f_y.   dropouts: between z_m and f_m; y_dropout: of
    z_y, and before the score.   rebuild: weights of the squared errors of text, audio and vision.   mmd: weight of the
    distance from a normal distribution; kernel: its kernel is exp(-|x - y|^2 / d), or, as in the paper's code, / d^2.
    hidden, memory and what follows: of the ``mfn``.   lr, decay: of all parameters.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Tsai et al.",
        "year": 2019,
        "inputs": "text, audio, vision",
        "aligned": "one grid",
        "tasks": "M",
        "parameters": 1_416_123,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "MMSA, config_regression.json",
            {
                "z": (64, 80, 80),
                "z_y": 80,
                "f": (32, 16, 64),
                "f_y": 64,
                "mmd": 100.0,
                "rebuild": (0.5, 0.01, 0.5),
                "batch": 64,
                "lr": 2e-3,
            },
        ),
        "mosei": Preset(
            "MMSA, config_regression.json",
            {
                "z": (256, 80, 80),
                "z_y": 32,
                "f": (32, 80, 32),
                "f_y": 16,
                "dropouts": (0.7, 0.7, 0.7),
                "y_dropout": (0.2, 0.2),
                "mmd": 10.0,
                "rebuild": (5.0, 2.0, 5.0),
                "hidden": (256, 32, 256),
                "attention": (1278, 0.5),
                "proposal": (32, 0.7),
                "retain": (64, 0.5),
                "update": (128, 0.2),
                "out": (256, 0.0),
                "batch": 64,
                "lr": 1e-3,
                "decay": 5e-4,
            },
        ),
        "sims": Preset(
            "MMSA, config_regression.json",
            {
                "z": (256, 32, 80),
                "z_y": 48,
                "f": (256, 80, 48),
                "f_y": 48,
                "dropouts": (0.0, 0.7, 0.0),
                "y_dropout": (0.5, 0.7),
                "mmd": 200.0,
                "rebuild": (0.5, 0.01, 0.01),
                "hidden": (64, 16, 64),
                "memory": 128,
                "attention": (32, 0.5),
                "proposal": (64, 0.5),
                "retain": (64, 0.7),
                "update": (256, 0.0),
                "out": (128, 0.2),
                "batch": 128,
                "lr": 2e-3,
                "decay": 5e-3,
            },
        ),
    }
    # Output layers of the memory fusion network, whose own score is not used.
    idle = ("memory.out.",)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        z: Sizes = (64, 80, 80),
        z_y: int = 80,
        f: Sizes = (32, 16, 64),
        f_y: int = 64,
        dropouts: Shares = (0.5, 0.7, 0.5),
        y_dropout: tuple[float, float] = (0.5, 0.0),
        rebuild: Shares = (0.5, 0.01, 0.5),
        mmd: float = 100.0,
        kernel: Literal["d", "d_squared"] = "d",
        hidden: Sizes = (128, 32, 128),
        memory: int = 64,
        attention: Layer = (32, 0.7),
        proposal: Layer = (64, 0.0),
        retain: Layer = (32, 0.0),
        update: Layer = (64, 0.5),
        out: Layer = (128, 0.2),
        lr: float = 2e-3,
        decay: float = 1e-3,
    ) -> None:
        super().__init__(dims)
        check_sizes(z=z, z_y=z_y, f=f, f_y=f_y)
        check_dropouts(**{f"dropouts of {name}": share for name, share in zip(MODALITIES, dropouts, strict=True)})
        self.lr, self.decay, self.mmd, self.kernel = lr, decay, mmd, kernel
        self.rebuild = dict(zip(MODALITIES, rebuild, strict=True))
        self.memory = Mfn(
            dims,
            hidden=hidden,
            memory=memory,
            attention=attention,
            proposal=proposal,
            retain=retain,
            update=update,
            out=out,
        )
        units = dict(zip(MODALITIES, hidden, strict=True))
        self.to_z = nn.Linear(sum(units[name] for name in dims) + memory, z_y)
        self.to_f = Factor(z_y, f_y, y_dropout[0])
        self.score = nn.Sequential(nn.Linear(f_y, f_y), nn.ReLU(), nn.Dropout(y_dropout[1]), nn.Linear(f_y, 1))
        self.encoders, self.factors, self.decoders = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for name, z_size, f_size, share in zip(MODALITIES, z, f, dropouts, strict=True):
            if name in dims:
                self.encoders[name] = SequenceNet(dims[name], z_size, z_size, 0.0)
                self.factors[name] = Factor(z_size, f_size, share)
                self.decoders[name] = Decoder(f_y + f_size, dims[name])

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.standardized(batch)
        z_y = self.to_z(self.memory(batch).features["fused"])
        f_y = self.to_f(z_y)
        losses = self._losses(batch, z_y, f_y) if self.training else {}
        return Output(score=self.score(f_y)[:, 0], features={"fused": f_y}, losses=losses)

    def _losses(self, batch: Batch, z_y: Tensor, f_y: Tensor) -> dict[str, Tensor]:
        """Distance of every z from a normal distribution, and the reconstruction errors: () each."""
        values, mask = one_grid(batch, list(self.dims))
        z = {name: encoder(values[name], mask) for name, encoder in self.encoders.items()}
        found = {"mmd": torch.stack([self._distance(part) for part in (z_y, *z.values())]).sum()}
        for name, part in z.items():
            both = torch.cat([f_y, self.factors[name](part)], dim=1)
            error = (self.decoders[name](both, mask.shape[1]) - values[name]).square()
            found[name] = mean_over(error, mask.unsqueeze(2).expand_as(error))
        return found

    def _distance(self, z: Tensor) -> Tensor:
        """MMD between z (B, d) and as many samples of a normal distribution: ()."""
        width = z.shape[1]
        return mmd(torch.randn_like(z), z, float(width if self.kernel == "d" else width**2))

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean absolute error, plus in training the weighted losses of the factors."""
        total = super().loss(Output(output.score), batch, phase)
        for name, part in output.losses.items():
            total = total + part * (self.mmd if name == "mmd" else self.rebuild[name])
        return total

    def phases(self) -> tuple[Phase, ...]:
        """MMSA's settings for MOSI."""
        return (Phase(groups=(Group(lr=self.lr, weight_decay=self.decay),), batch=64, clip=None),)
