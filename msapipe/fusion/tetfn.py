"""Text-enhanced transformers: attention between audio and vision passes through the text.

Wang et al., "TETFN: A Text Enhanced Transformer Fusion Network for Multimodal Sentiment Analysis" (2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._aligned import last_step
from msapipe.fusion._attention import Dropout, Encoder
from msapipe.fusion._base import Batch, Output, Preset, masked_mean, present
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._crossmodal import Neighbours
from msapipe.fusion._multi_task import Four, MultiTask, Unimodal
from msapipe.fusion._packed import packed
from msapipe.fusion._subnet import joined
from msapipe.fusion._text_states import TextStates

Steps = tuple[Tensor, Tensor]


class Recurrent(nn.Module):
    """An LSTM and a convolution: (B, T, D), (B, T) to (B, N, d), (B, N), see ``Neighbours``."""

    def __init__(self, width: int, hidden: int, d: int, kernel: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.local = Neighbours(hidden, d, kernel)

    def forward(self, values: Tensor, mask: Tensor) -> Steps:
        """Steps and their mask."""
        return self.local(packed(self.lstm, values, mask)[0], mask)  # type: ignore[no-any-return]


class TextEnhanced(nn.Module):
    """Attention of a modality to another one that has attended to the text: keeps (B, T, d)."""

    def __init__(self, lower: Encoder, upper: Encoder) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper

    def forward(self, own: Steps, other: Steps, text: Steps) -> Tensor:
        """The other modality attends to the text, then this modality attends to the result."""
        told = self.lower(*other, *text)
        return self.upper(*own, told, other[1])  # type: ignore[no-any-return]


class Tetfn(MultiTask):
    """(B, T_m, D_m) per modality to steps (B, N_m, d), to one vector each after crossmodal attention, to scores (B,).

    Audio and vision attend to each other through the text, otherwise as in MulT; a modality's concatenated results go
    through a self-attention transformer. Modalities are scored by the maximum over their steps, and learn
    pseudo-labels.
    hidden: of the LSTMs of audio and vision.   d, heads, layers: of the transformers.   kernels: of the convolutions of
    text, audio and vision.   positions: sine positions in the plain transformers too; the text-enhanced ones always
    have them.   causal: hide later steps, and use the last step as the clip's vector, not the mean.   For the other
    parameters see ``self_mm``. MMSA's code has positions=false and causal=true, uses audio's kernel for vision, and has
    a separate dropout for each part of a transformer instead of a common one.
    """

    version = 2
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Wang et al.",
        "year": 2023,
        "inputs": "tokens, audio, vision",
        "aligned": "no",
        "tasks": "M, guessed T A V",
        "parameters": 1_254_224,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "MMSA's repository, config_regression.json",
            {
                "head_dropout": (0.0, 0.0, 0.0, 0.0),
                "rates": (3e-5, 5e-4, 3e-4, 3e-4),
                "decays": (1e-3, 1e-2, 0.0, 1e-2),
                "label_bound": 3.0,
                "batch": 64,
            },
        ),
        "mosei": Preset(
            "MMSA's repository, config_regression.json",
            {
                "hidden": (32, 32),
                "units": (64, 32, 16),
                "head_dropout": (0.1, 0.0, 0.1, 0.0),
                "rates": (3e-5, 1e-3, 5e-3, 1e-4),
                "decays": (1e-3, 0.0, 1e-3, 1e-2),
                "label_bound": 3.0,
                "batch": 32,
            },
        ),
        "sims": Preset(
            "MMSA's repository, config_regression.json; labels keep to their range where MMSA has 3",
            {
                "kernels": (3, 5, 5),
                "units": (64, 16, 32),
                "head_dropout": (0.0, 0.0, 0.0, 0.1),
                "rates": (3e-5, 3e-3, 5e-4, 3e-3),
                "decays": (1e-3, 0.0, 1e-2, 1e-3),
                "label_bound": 1.0,
                "batch": 64,
            },
        ),
        "sims_v2": Preset(
            "MMSA's repository, config_regression.json; labels keep to their range where MMSA has 3",
            {
                "hidden": (16, 32),
                "kernels": (5, 3, 3),
                "units": (64, 16, 32),
                "fusion_units": 128,
                "head_dropout": (0.1, 0.0, 0.0, 0.1),
                "rates": (5e-6, 5e-4, 5e-3, 3e-4),
                "decays": (1e-3, 1e-3, 1e-3, 1e-3),
                "label_bound": 1.0,
                "batch": 64,
            },
        ),
    }
    batch_size = 64

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: tuple[int, int] = (16, 64),
        d: int = 50,
        heads: int = 5,
        layers: int = 2,
        kernels: tuple[int, int, int] = (1, 1, 1),
        dropout: float = 0.1,
        positions: bool = True,
        causal: bool = False,
        units: tuple[int, int, int] = (32, 32, 16),
        fusion_units: int = 64,
        head_dropout: Four = (0.0, 0.0, 0.0, 0.0),
        label_bound: float = 3.0,
        unimodal: Unimodal = "pseudo",
        language_model: str = "",
        language_config: str = "",
        rates: Four = (3e-5, 5e-4, 3e-4, 3e-4),
        decays: Four = (1e-3, 1e-2, 0.0, 1e-2),
        accumulate: int = 4,
    ) -> None:
        super().__init__(dims)
        if "text" not in dims:
            raise ConfigError("tetfn: audio and vision meet through the text, and there is none")
        check_sizes(hidden=hidden, d=d, layers=layers, kernels=kernels)
        check_dropouts(dropout=dropout)
        self.causal = causal
        text = TextStates(dims["text"], language_model, language_config, "tetfn")
        self.read_text(text)
        self.local = Neighbours(text.width, d, kernels[0])
        rest = zip(("audio", "vision"), hidden, kernels[1:], strict=True)
        self.nets = nn.ModuleDict(
            {name: Recurrent(dims[name], size, d, kernel) for name, size, kernel in rest if name in dims}
        )
        self.names = ("text", *self.nets)
        shares = Dropout(embed=dropout, attention=dropout, hidden=dropout, residual=dropout)

        def encoder(width: int, depth: int, placed: bool, first: int = 0) -> Encoder:
            own = {"scale": width**0.5, "positions": placed, "first": first, "causal": causal}
            return Encoder(width, heads, depth, dropout=shares, **own)

        self.cross = nn.ModuleDict()
        for own in self.names:
            for other in self.names:
                if own != other and "text" in (own, other):
                    self.cross[f"{own}_{other}"] = encoder(d, layers, positions)
                elif own != other:
                    self.cross[f"{own}_{other}"] = TextEnhanced(*(encoder(d, depth, True, 1) for depth in (1, layers)))
        width = d * max(1, len(self.names) - 1)
        self.memory = nn.ModuleDict({name: encoder(width, layers, positions) for name in self.names})
        widths, fused = dict.fromkeys(self.names, d), width * len(self.names)
        self.add_tasks(
            widths, fused, units, fusion_units, head_dropout, label_bound, unimodal, rates, decays, accumulate
        )

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.seen(batch)
        steps: dict[str, Steps] = {"text": self.local(*self.text(batch))}
        steps |= {name: net(batch.values[name], batch.mask[name]) for name, net in self.nets.items()}
        vectors = {name: self._vector(name, steps) for name in self.names}
        return self.scored({name: _largest(*part) for name, part in steps.items()}, joined(vectors))

    def _vector(self, name: str, steps: Mapping[str, Steps]) -> Tensor:
        """A modality's vector after attention to the others: (B, width), zero if it is missing."""
        own, mask = steps[name]
        found = []
        for other in self.names:
            if other != name and "text" in (name, other):
                found.append(self.cross[f"{name}_{other}"](own, mask, *steps[other]))
            elif other != name:
                found.append(self.cross[f"{name}_{other}"](steps[name], steps[other], steps["text"]))
        states: Tensor = self.memory[name](torch.cat(found, dim=2) if found else own, mask)
        if not self.causal:
            return masked_mean(states, mask)
        return last_step(states, mask) * present(mask).unsqueeze(1)


def _largest(states: Tensor, mask: Tensor) -> Tensor:
    """The maximum over the valid steps, zero without any: (B, N, d), (B, N) to (B, d)."""
    found = states.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(dim=1)
    return found.masked_fill(~present(mask).unsqueeze(1), 0.0)
