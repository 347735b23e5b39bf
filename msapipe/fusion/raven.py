"""Word vectors are shifted by audio and vision during the word, at their own rates.

Wang et al., "Words Can Shift: Dynamically Adjusting Word Representations Using Nonverbal Behaviors" (2019). RAVEN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._aligned import lengths, within
from msapipe.fusion._base import Batch, FusionModel, Given, Group, Output, Phase
from msapipe.fusion._checks import check_sizes
from msapipe.fusion._lstm import LastState
from msapipe.fusion._shift_gate import shifted


class Nonverbal(nn.Module):
    """Audio or vision during each word, and its gate: (B, N, hidden), (B, N, 1)."""

    def __init__(self, width: int, hidden: int, word: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.lstm = LastState(width, hidden)
        self.gate = nn.Linear(hidden + word, 1)

    def forward(self, values: Tensor, inside: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """values (B, T, D); inside: bool (B, N, T), the steps of each word; words (B, N, D_t)."""
        states = values.new_zeros(*words.shape[:2], self.hidden)
        some = inside.any(dim=2)
        if some.any():
            rows, mask = gathered(values, inside)
            states = states.masked_scatter(some.unsqueeze(2), self.lstm(rows, mask))
        return states, torch.sigmoid(self.gate(torch.cat([states, words], dim=2)))


class Raven(FusionModel):
    """(B, T_m, D_m) per modality to words (B, N, D_t), each shifted by audio and vision during it, through an LSTM to
    scores (B,).

    The length of a shift is at most ``strength`` times that of the word. A word without audio and vision is shifted by
    the bias only. hidden: of the LSTMs of audio and vision; word_hidden: of that over the words. spans "times": a step
    belongs to the words whose time contains its midpoint; features without times use "windows", which gives every word
    an even share of the clip's steps: step k of aligned features.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Wang et al.",
        "year": 2019,
        "inputs": "text, audio, vision, times",
        "aligned": "no",
        "tasks": "M",
        "parameters": 1_389_307,
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: int = 50,
        word_hidden: int = 300,
        strength: float = 0.5,
        spans: Literal["times", "windows"] = "times",
        lr: float = 1e-3,
    ) -> None:
        super().__init__(dims)
        if "text" not in dims:
            raise ConfigError("raven: shifts words, and there is no text")
        if strength <= 0:
            raise ConfigError(f"strength: found {strength}, expected more than 0")
        check_sizes(hidden=hidden, word_hidden=word_hidden)
        self.lr, self.spans = lr, spans
        word = dims["text"]
        self.nets = nn.ModuleDict(
            {name: Nonverbal(width, hidden, word) for name, width in dims.items() if name != "text"}
        )
        self.shifts = nn.ModuleDict({name: nn.Linear(hidden, word, bias=False) for name in self.nets})
        self.bias = nn.Parameter(torch.zeros(word)) if len(self.nets) else None
        self.register_buffer("strength", torch.tensor(strength), persistent=False)
        self.words = LastState(word, word_hidden)
        self.score = nn.Linear(word_hidden, 1)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.standardized(batch)
        words, mask = batch.values["text"], batch.mask["text"]
        gates = {}
        if self.bias is not None:
            shift = self.bias.expand_as(words)
            for name, net in self.nets.items():
                states, gates[name] = net(batch.values[name], self._inside(name, batch), words)
                shift = shift + self.shifts[name](gates[name] * states)
            strength: Tensor = self.get_buffer("strength")
            words = shifted(words, shift, strength).masked_fill(~mask.unsqueeze(2), 0.0)
        fused = self.words(words, mask)
        return Output(
            score=self.score(fused)[:, 0],
            features={"fused": fused},
            diagnostics={f"gate_{name}": gate[..., 0].detach() for name, gate in gates.items()},
        )

    def _inside(self, name: str, batch: Batch) -> Tensor:
        """Which steps of a modality belong to which word: bool (B, N, T)."""
        here = batch.mask["text"].unsqueeze(2) & batch.mask[name].unsqueeze(1)
        if self.spans == "windows" or not {"text", name} <= batch.times.keys():
            words, steps = batch.mask["text"], batch.mask[name]
            word = torch.arange(words.shape[1], device=words.device)
            return here & within(lengths(steps), lengths(words).clamp(min=1), word, steps.shape[1])
        begin, end = batch.times["text"].unbind(2)
        middle = batch.times[name].mean(dim=2).unsqueeze(1)
        return here & (middle >= begin.unsqueeze(2)) & (middle < end.unsqueeze(2))

    @classmethod
    def unfit(cls, given: Given, params: Mapping[str, Any]) -> str | None:
        """Requires word times to find a word's audio and vision."""
        if params.get("spans", "times") == "times" and not given.same_clock:
            return (
                "the times of the words are not those of audio and vision (a file of MMSA has none); take "
                "spans=windows, which gives every word an even share of the clip"
            )
        return super().unfit(given, params)

    def phases(self) -> tuple[Phase, ...]:
        """Ours: the paper uses a search."""
        return (Phase(groups=(Group(lr=self.lr),)),)


def gathered(values: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """The steps of each non-empty word, in order: (B, T, D), bool (B, N, T) to (W, F, D) and bool (W, F)."""
    some = inside.any(dim=2)
    counts = inside.sum(dim=2)[some]
    clip, word, step = inside.nonzero().unbind(1)
    row = (some.flatten().cumsum(0) - 1)[clip * inside.shape[1] + word]
    place = (inside.cumsum(dim=2) - 1)[clip, word, step]
    rows = values.new_zeros(len(counts), int(counts.max()), values.shape[2])
    rows[row, place] = values[clip, step]
    return rows, torch.arange(rows.shape[1], device=values.device) < counts.unsqueeze(1)
