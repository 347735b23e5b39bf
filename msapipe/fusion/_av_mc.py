"""Acoustic and visual mix-up consistency, for ``av_mc`` and ``av_mc_semi``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._base import Given, Group, Output, Phase, absolute_error
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._subnet import Said, TaskHead
from msapipe.fusion._text_states import TextFusion, TextStates

MODALITIES = ("text", "audio", "vision")
Three = tuple[int, int, int]
Four = tuple[float, float, float, float]


class AvMcBase(TextFusion):
    """One vector and score per modality; the clip's score is computed from their concatenated hidden states.

    The clip's score is a sigmoid over the output range. ``tasks`` weights the losses of the clip, text, audio and
    vision; clips without a label of a task are left out of its loss.
    """

    nets: nn.ModuleDict
    batch_size = 32
    first = False

    def add_inputs(
        self, hidden: Three, text: TextStates | None, net: Callable[[int, int], nn.Module]
    ) -> dict[str, int]:
        """Add a layer on the text and a network for each other modality; returns their widths."""
        check_sizes(hidden=hidden)
        self.read_text(text)
        sizes = {name: size for name, size in zip(MODALITIES, hidden, strict=True) if name in self.dims}
        self.enter = None if text is None else nn.Linear(text.width, sizes["text"])
        self.nets = nn.ModuleDict({name: net(self.dims[name], size) for name, size in sizes.items() if name != "text"})
        return sizes

    def add_heads(
        self,
        widths: Mapping[str, int],
        units: Three,
        fusion_units: int,
        dropout: float,
        tasks: Four,
        output_range: tuple[float, float],
        concentration: float,
        rates: Four,
    ) -> None:
        """Add heads on vectors of these widths; ``rates``: of text, audio, vision and the rest."""
        low, high = output_range
        if not low < high:
            raise ConfigError(f"output_range: found {low} to {high}, expected the smaller number first")
        if concentration <= 0:
            raise ConfigError(f"concentration: found {concentration}, expected more than 0")
        check_sizes(units=units, fusion_units=fusion_units)
        check_dropouts(post_dropout=dropout)
        self.low, self.span, self.rates = low, high - low, rates
        self.tasks = dict(zip(("M", *MODALITIES), tasks, strict=True))
        self.concentration = torch.tensor(concentration)
        sizes = dict(zip(MODALITIES, units, strict=True))
        self.heads = nn.ModuleDict({name: TaskHead(width, sizes[name], dropout) for name, width in widths.items()})
        self.fusion = TaskHead(sum(sizes[name] for name in widths), fusion_units, dropout, relu=False)

    def scored(self, vectors: Mapping[str, Tensor]) -> Output:
        """Scores from vectors (B, d_m)."""
        own: dict[str, Said] = {name: self.heads[name](vector) for name, vector in vectors.items()}
        hidden = torch.cat([said.first if self.first else said.second for said in own.values()], dim=1)
        whole = self.fusion(hidden)
        return Output(
            score=torch.sigmoid(whole.score) * self.span + self.low,
            unimodal={name: said.score for name, said in own.items()},
            features={"fused": whole.second, **{f"vector_{name}": part for name, part in vectors.items()}},
        )

    def errors(self, output: Output, labels: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the tasks' mean absolute errors: ()."""
        total = self.tasks["M"] * absolute_error(output.score, labels["M"])
        for name, said in output.unimodal.items():
            total = total + self.tasks[name] * absolute_error(said, labels[name[0].upper()])
        return total

    def share(self) -> Tensor:
        """The mixing coefficient, drawn from a Beta distribution: ()."""
        return torch.distributions.Beta(self.concentration, self.concentration).sample()

    def phases(self) -> tuple[Phase, ...]:
        """The settings of the authors' code for CH-SIMS v2."""
        prefixes = (("enter.",), ("nets.audio.",), ("nets.vision.",), ("heads.", "fusion."))
        names = ("text", "audio", "vision", "fusion")
        groups = tuple(
            Group(prefix, lr=rate, name=name) for prefix, rate, name in zip(prefixes, self.rates, names, strict=True)
        )
        return (Phase(groups=groups, batch=self.batch_size, clip=None, mixed=self.first),)

    @classmethod
    def params_of(cls, scale: tuple[float, float]) -> dict[str, Any]:
        """The output range is that of the labels."""
        return {"output_range": scale}

    @classmethod
    def unfit(cls, given: Given, params: Mapping[str, Any]) -> str | None:
        """Requires a label of each modality."""
        if not given.labels & {"T", "A", "V"}:
            return "no clip has a label T, A or V of a modality by itself, by which it learns; label.csv may hold them"
        return super().unfit(given, params)


def mixed(rows: Tensor, share: Tensor, order: Tensor) -> Tensor:
    """share times each row plus (1 - share) times the row given by ``order``: keeps (B, ...)."""
    return share * rows + (1 - share) * rows[order]
