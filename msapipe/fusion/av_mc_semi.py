"""AV-MC with unlabelled clips: the score of a mixture must equal the mixture of the scores.

Liu et al., "Make Acoustic and Visual Cues Matter: CH-SIMS v2.0 Dataset and AV-Mixup Consistent Module" (2022), the
semi-supervised AV-MC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from msapipe.fusion._av_mc import AvMcBase, Four, Three, mixed
from msapipe.fusion._base import Batch, Output, Preset
from msapipe.fusion._checks import check_dropouts
from msapipe.fusion._packed import TwoBiLstms
from msapipe.fusion._text_states import TextPool, states_of


class Entered(nn.Module):
    """A linear layer and two bidirectional LSTMs: (B, T, D), (B, T) to (B, 4 hidden)."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(width, hidden), nn.Dropout(dropout))
        self.lstms = TwoBiLstms(hidden, hidden)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """The clip's vector, zero if the modality is missing."""
        return self.lstms(self.enter(values), mask)  # type: ignore[no-any-return]


class AvMcSemi(AvMcBase):
    """(B, T_m, D_m) per modality to vectors (B, h_t) and (B, 4 h_m), to a score for each and for the clip (B,).

    Every epoch first passes over all clips: labelled ones are trained on their labels, and for all clips, the vectors
    of audio, and separately those of vision, are mixed; the score of a mixture is compared with the mixture of the
    scores. Then it passes over the labelled clips. For the parameters see ``av_mc``.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Liu et al.",
        "year": 2022,
        "inputs": "tokens, audio, vision",
        "aligned": "no",
        "tasks": "M T A V",
        "parameters": 153_164,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "sims_v2": Preset(
            "the authors' own code",
            {
                "hidden": (64, 32, 32),
                "units": (16, 8, 64),
                "fusion_units": 32,
                "post_dropout": 0.4,
                "tasks": (0.8, 0.6, 0.2, 0.8),
                "rates": (5e-4, 1e-3, 1e-3, 5e-4),
                "batch": 64,
            },
        ),
    }
    batch_size = 64
    first = True

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: Three = (64, 32, 32),
        units: Three = (16, 8, 64),
        fusion_units: int = 32,
        dropout: float = 0.1,
        post_dropout: float = 0.4,
        tasks: Four = (0.8, 0.6, 0.2, 0.8),
        concentration: float = 1.0,
        output_range: tuple[float, float] = (-1.0, 1.0),
        language_model: str = "",
        language_config: str = "",
        text_pool: TextPool = "auto",
        rates: Four = (5e-4, 1e-3, 1e-3, 5e-4),
    ) -> None:
        super().__init__(dims)
        check_dropouts(dropout=dropout)
        text = states_of(dims, language_model, language_config, "av_mc_semi", text_pool)
        sizes = self.add_inputs(hidden, text, lambda width, size: Entered(width, size, dropout))
        widths = {name: size if name == "text" else 4 * size for name, size in sizes.items()}
        self.add_heads(widths, units, fusion_units, post_dropout, tasks, output_range, concentration, rates)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.seen(batch)
        vectors = {} if self.enter is None else {"text": self.enter(self.text.pooled(*self.text(batch)))}
        return self.scored(
            vectors | {name: net(batch.values[name], batch.mask[name]) for name, net in self.nets.items()}
        )

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """The weighted errors; in the pass over all clips, plus those of mixtures."""
        total = self.errors(output, batch.labels)
        for name in self.nets if phase.endswith("_mixed") else ():
            order = torch.randperm(len(batch), device=output.score.device)
            total = total + self.tasks[name] * self.mixed_error(name, output, self.share(), order)
        return total

    def mixed_error(self, name: str, output: Output, share: Tensor, order: Tensor) -> Tensor:
        """Distance between a modality's score for mixed vectors and the mixture of its scores: ()."""
        said: Tensor = self.heads[name](mixed(output.features[f"vector_{name}"], share, order)).score
        wanted = mixed(output.unimodal[name].detach(), share, order)
        return (said - wanted).abs().mean()
