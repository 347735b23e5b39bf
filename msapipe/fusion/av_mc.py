"""Each modality is trained on its own label, and audio and vision also on mixtures of clips.

Liu et al., "Make Acoustic and Visual Cues Matter: CH-SIMS v2.0 Dataset and AV-Mixup Consistent Module" (2022). AV-MC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from msapipe.fusion._av_mc import AvMcBase, Four, Three, mixed
from msapipe.fusion._base import Batch, Output, Preset, masked_mean, present
from msapipe.fusion._subnet import ClipNet
from msapipe.fusion._text_states import TextPool, states_of


class AvMc(AvMcBase):
    """(B, T_m, D_m) per modality to vectors (B, h_m), to a score for each and for the clip, all (B,).

    Text is a frozen language model's [CLS] through a linear layer, audio and vision are means over time. In training,
    the audio of two clips is mixed, and separately their vision; the scores of a mixture are trained on both clips'
    labels.
    hidden: of text, audio and vision; units: of their heads; fusion_units: of the clip's.   tasks: loss weights of the
    clip, text, audio and vision.   concentration: of the Beta distribution of the mixing coefficient.
    output_range: range of the clip's score.   language_model, language_config, text_pool: see ``_text_states``.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Liu et al.",
        "year": 2022,
        "inputs": "tokens, audio, vision",
        "aligned": "no",
        "tasks": "M T A V",
        "parameters": 64_534,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "sims_v2": Preset(
            "the authors' own code",
            {
                "hidden": (64, 16, 16),
                "units": (32, 64, 16),
                "fusion_units": 32,
                "dropout": 0.1,
                "post_dropout": 0.3,
                "tasks": (1.0, 0.2, 0.8, 0.4),
                "rates": (5e-4, 5e-4, 1e-3, 5e-4),
                "batch": 32,
            },
        ),
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: Three = (64, 16, 16),
        units: Three = (32, 64, 16),
        fusion_units: int = 32,
        dropout: float = 0.1,
        post_dropout: float = 0.3,
        tasks: Four = (1.0, 0.2, 0.8, 0.4),
        concentration: float = 1.0,
        output_range: tuple[float, float] = (-1.0, 1.0),
        language_model: str = "",
        language_config: str = "",
        text_pool: TextPool = "auto",
        rates: Four = (5e-4, 5e-4, 1e-3, 5e-4),
    ) -> None:
        super().__init__(dims)
        text = states_of(dims, language_model, language_config, "av_mc", text_pool)
        sizes = self.add_inputs(hidden, text, lambda width, size: ClipNet(width, size, dropout))
        self.add_heads(sizes, units, fusion_units, post_dropout, tasks, output_range, concentration, rates)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.seen(batch)
        vectors = {} if self.enter is None else {"text": self.enter(self.text.pooled(*self.text(batch)))}
        means = {name: masked_mean(batch.values[name], batch.mask[name]) for name in self.nets}
        there = {name: present(batch.mask[name]) for name in self.nets}
        vectors |= {name: self._vector(name, mean, there[name]) for name, mean in means.items()}
        output = self.scored(vectors)
        inputs = {f"mean_{name}": part for name, part in means.items()} if self.training else {}
        return replace(output, features={**output.features, **inputs})

    def _vector(self, name: str, mean: Tensor, there: Tensor) -> Tensor:
        """(B, D), bool (B,) to (B, h_m)."""
        return self.nets[name](mean.unsqueeze(1), there.unsqueeze(1))  # type: ignore[no-any-return]

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """The weighted errors, plus in training those of clips with mixed audio, and with mixed vision."""
        total = self.errors(output, batch.labels)
        for name in self.nets if self.training else ():
            order = torch.randperm(len(batch), device=output.score.device)
            total = total + self.mixed_error(name, output, batch, self.share(), order)
        return total

    def mixed_error(self, name: str, output: Output, batch: Batch, share: Tensor, order: Tensor) -> Tensor:
        """The weighted errors if one modality is mixed with that of other clips: ().

        The modality's and the clip's scores are compared with the labels of both.
        """
        there = present(batch.mask[name])
        mean = mixed(output.features[f"mean_{name}"], share, order)
        vectors = {other: output.features[f"vector_{other}"] for other in output.unimodal}
        said = self.scored({**vectors, name: self._vector(name, mean, there | there[order])})
        letter = name[0].upper()
        other = {key: label[order] if key in ("M", letter) else label for key, label in batch.labels.items()}
        return share * self.errors(said, batch.labels) + (1 - share) * self.errors(said, other)
