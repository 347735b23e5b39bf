"""Cyclic translation of text to vision, and on to audio; at test time only text is read.

Pham et al., "Found in Translation: Learning Robust Joint Representations by Cyclic Translations Between Modalities"
(2019). MCTN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from msapipe.errors import ConfigError
from msapipe.fusion._aligned import one_grid
from msapipe.fusion._base import Batch, FusionModel, Group, Output, Phase, Preset, mean_over
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._packed import packed

# Targets in order of translation: the first one is also translated back, the second one uses the first one's states.
TARGETS = ("vision", "audio")

# A translator's states (B, N, hidden), and its decoder's initial state (B, hidden).
States = tuple[Tensor, Tensor]


class Translator(nn.Module):
    """Translates a sequence step by step, with attention to its states: (B, N, width) to (B, N, D) each.

    The encoder's states, the sum of both directions, are (B, N, hidden). Each decoder step reads the previous output,
    zero-padded to ``said`` columns, and the attended state.
    outs: target name to its columns.
    """

    def __init__(self, width: int, said: int, hidden: int, outs: Mapping[str, int], dropout: float) -> None:
        super().__init__()
        self.hidden, self.said = hidden, said
        self.encoder = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.begin = nn.Linear(hidden, hidden, bias=False)
        self.drop = nn.Dropout(dropout)
        self.likeness = nn.Sequential(
            nn.Linear(2 * hidden, hidden, bias=False), nn.Tanh(), nn.Linear(hidden, 1, bias=False)
        )
        self.decoder = nn.LSTM(said + hidden, hidden, batch_first=True, bidirectional=True)
        self.outs = nn.ModuleDict({name: nn.Linear(2 * hidden, out) for name, out in outs.items()})

    def encode(self, values: Tensor, mask: Tensor) -> States:
        """States (B, N, hidden), and the decoder's initial state (B, hidden)."""
        states, last = packed(self.encoder, values, mask)
        joint = self.drop(states[..., : self.hidden] + states[..., self.hidden :])
        state: Tensor = torch.tanh(self.begin(last[:, : self.hidden] + last[:, self.hidden :]))
        return joint, state

    def decode(self, joint: Tensor, state: Tensor, mask: Tensor, name: str, target: Tensor, forced: float) -> Tensor:
        """Decode ``target`` (B, N, D), whose first step is given: (B, N, D), zero in that step.

        forced: share of steps with teacher forcing, which read the target instead of the previous output.
        """
        said = [torch.zeros_like(target[:, 0])]
        before = target[:, 0]
        for step in range(1, target.shape[1]):
            seen = self._attended(joint, state, mask)
            row = torch.cat([functional.pad(before, (0, self.said - before.shape[1])), seen], dim=1)
            found, (last, _) = self.decoder(row.unsqueeze(1))
            state = last.sum(dim=0)
            both = found[:, 0, : self.hidden] + found[:, 0, self.hidden :]
            said.append(self.outs[name](torch.cat([both, seen], dim=1)))
            before = target[:, step] if float(torch.rand(())) < forced else said[-1]
        return torch.stack(said, dim=1)

    def _attended(self, joint: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        """Attention of a decoder's state over the encoder's states: (B, hidden)."""
        wide = state.unsqueeze(1).expand(-1, joint.shape[1], -1)
        energy: Tensor = self.likeness(torch.cat([wide, joint], dim=2))[:, :, 0]
        weight: Tensor = energy.masked_fill(~mask, -torch.inf).softmax(dim=1)
        return (weight.unsqueeze(2) * joint).sum(dim=1)


class Mctn(FusionModel):
    """Text (B, N, D_t) to joint states (B, N, hidden), to scores (B,); audio and vision are read only in training.

    Clips are put on one grid (``_aligned.one_grid``). In training, one translator translates text to vision and, with
    the same weights, that vision back to text; another one translates the first one's states to audio.
    outputs: "own", a layer with the columns of each target; "padded", MMSA's: every target has as many as the text.
    teacher: share of decoder steps with teacher forcing; 0: none.   steps: maximum number of steps of a clip.
    cycle: weight of the translations' squared errors.   At test time the targets are not needed. Unlike MMSA's code,
    padding is masked in input and targets, and teacher forcing is not always on.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Pham et al.",
        "year": 2019,
        "inputs": "text, audio, vision",
        "aligned": "one grid",
        "tasks": "M",
        "parameters": 715_483,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset("MMSA, config_regression.json", {"hidden": 32, "lr": 1e-4, "batch": 32}),
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: int = 32,
        outputs: Literal["own", "padded"] = "own",
        teacher: float = 0.5,
        dropout: float = 0.0,
        cycle: float = 0.1,
        steps: int = 50,
        lr: float = 1e-4,
    ) -> None:
        super().__init__(dims)
        if "text" not in dims:
            raise ConfigError("mctn: translates text into the other modalities, and there is none")
        if not 0 <= teacher <= 1:
            raise ConfigError(f"teacher: found {teacher}, expected a share between 0 and 1")
        check_sizes(hidden=hidden, steps=steps)
        check_dropouts(dropout=dropout)
        self.teacher, self.cycle, self.most, self.lr = teacher, cycle, steps, lr
        self.targets = tuple(name for name in TARGETS if name in dims)
        width = max(dims.values())
        self.width = width
        first = {name: dims[name] for name in (*self.targets[:1], "text") if self.targets}
        second = {name: dims[name] for name in self.targets[1:]}
        if outputs == "padded":
            first, second = ({"any": width} if names else {} for names in (first, second))
        self.padded = outputs == "padded"
        self.first = Translator(width, width, hidden, first, dropout)
        self.second = Translator(hidden, width, hidden, second, dropout)
        self.read = nn.LSTM(hidden, hidden, batch_first=True)
        self.weigh = nn.Linear(hidden, 1)
        self.score = nn.Linear(hidden, 1)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        values, mask = one_grid(self.standardized(batch), list(self.dims), self.most)
        values = {name: functional.pad(part, (0, self.width - part.shape[2])) for name, part in values.items()}
        joint, state = self.first.encode(values["text"], mask)
        joint_two, state_two = self.second.encode(joint, mask)
        losses = {}
        if self.training and self.targets:
            losses = self._losses(values, mask, (joint, state), (joint_two, state_two))
        fused = self._summary(joint_two, mask)
        return Output(score=self.score(fused)[:, 0], features={"fused": fused}, losses=losses)

    def _losses(self, values: Mapping[str, Tensor], mask: Tensor, one: States, two: States) -> dict[str, Tensor]:
        """Squared errors of the translations: target name to ()."""
        target = self.targets[0]
        said = self._said(self.first, one, mask, target, values)
        back = self.first.encode(functional.pad(said, (0, self.width - said.shape[2])), mask)
        found = {
            target: self._error(said, values[target], mask),
            "text": self._error(self._said(self.first, back, mask, "text", values), values["text"], mask),
        }
        if len(self.targets) > 1:
            other = self.targets[1]
            found[other] = self._error(self._said(self.second, two, mask, other, values), values[other], mask)
        return found

    def _said(self, by: Translator, states: States, mask: Tensor, name: str, values: Mapping[str, Tensor]) -> Tensor:
        """A target (B, N, D) translated from a translator's states."""
        columns = self.width if self.padded else self.dims[name]
        return by.decode(*states, mask, "any" if self.padded else name, values[name][..., :columns], self.teacher)

    def _error(self, said: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Mean squared error over valid steps."""
        return mean_over((said - target[..., : said.shape[2]]).square(), mask.unsqueeze(2).expand_as(said))

    def _summary(self, joint: Tensor, mask: Tensor) -> Tensor:
        """Attention-weighted sum of an LSTM's states: (B, N, hidden), (B, N) to (B, hidden)."""
        states, _ = packed(self.read, joint, mask)
        energy = torch.tanh(self.weigh(states))[:, :, 0].masked_fill(~mask, -torch.inf)
        return (energy.softmax(dim=1).unsqueeze(2) * states).sum(dim=1)

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean absolute error, plus in training the weighted errors of the translations."""
        total = super().loss(Output(output.score), batch, phase)
        for part in output.losses.values():
            total = total + self.cycle * part
        return total

    def phases(self) -> tuple[Phase, ...]:
        """MMSA's settings for MOSI."""
        return (Phase(groups=(Group(lr=self.lr),), batch=32, clip=1.0),)
