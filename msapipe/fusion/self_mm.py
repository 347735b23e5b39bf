"""Self-supervised multi-task learning: each modality is trained on its own pseudo-labels.

Yu et al., "Learning Modality-Specific Representations with Self-Supervised Multi-Task Learning for Multimodal
Sentiment Analysis" (2021). Self-MM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from msapipe.fusion._base import Batch, Output, Preset
from msapipe.fusion._checks import check_sizes
from msapipe.fusion._multi_task import Four, MultiTask, Unimodal
from msapipe.fusion._subnet import SequenceNet, joined
from msapipe.fusion._text_states import TextPool, states_of


class SelfMm(MultiTask):
    """(B, T_m, D_m) per modality to vectors, concatenated to scores (B,), and each alone to its own score.

    Text is a language model's [CLS], audio and vision an LSTM's last state through a layer. In training, the modalities
    learn pseudo-labels (see ``_pseudo_labels``), weighted by their difference from the clip's label.
    hidden, out: of the LSTMs of audio and vision, and of the layers after them.   units: of the hidden layers that
    score text, audio and vision; fusion_units: of those that score the clip.   head_dropout: before them, the clip's
    last.   label_bound: largest absolute pseudo-label (1 for labels in [-1, 1]).   unimodal "labels": human labels T, A
    and V instead of pseudo-labels.   language_model: any encoder, fine-tuned on token ids; "": the text is features.
    language_config: see ``_language_model``.   text_pool: see ``TextStates``.
    rates, decays: learning rate and weight decay of language model, audio, vision and the rest.
    Unlike MMSA's code, centres are means of the clips seen so far, without zeros for the others.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Yu et al.",
        "year": 2021,
        "inputs": "tokens, audio, vision",
        "aligned": "no",
        "tasks": "M, guessed T A V",
        "parameters": 159_332,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (16, 32),
                "units": (32, 16, 32),
                "head_dropout": (0.1, 0.1, 0.0, 0.0),
                "rates": (5e-5, 5e-3, 5e-3, 1e-3),
                "decays": (1e-3, 1e-3, 1e-3, 1e-3),
                "label_bound": 3.0,
                "batch": 16,
            },
        ),
        "mosei": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (16, 32),
                "units": (32, 16, 32),
                "head_dropout": (0.0, 0.0, 0.0, 0.1),
                "rates": (5e-5, 5e-3, 1e-4, 1e-3),
                "decays": (1e-3, 0.0, 0.0, 1e-2),
                "label_bound": 3.0,
                "batch": 32,
            },
        ),
        "sims": Preset(
            "MMSA, config_regression.json",
            {
                "hidden": (16, 64),
                "units": (64, 16, 32),
                "head_dropout": (0.1, 0.1, 0.0, 0.0),
                "rates": (5e-5, 5e-3, 5e-3, 1e-3),
                "decays": (1e-3, 1e-2, 1e-2, 1e-3),
                "label_bound": 1.0,
                "batch": 32,
            },
        ),
        "sims_v2": Preset(
            "MMSA, config_regression.json; labels are in [-1, 1], where it has a bound of 3",
            {
                "hidden": (16, 64),
                "units": (64, 32, 32),
                "rates": (5e-5, 1e-3, 1e-3, 1e-3),
                "decays": (1e-2, 0.0, 0.0, 1e-3),
                "label_bound": 1.0,
                "batch": 16,
            },
        ),
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        hidden: tuple[int, int] = (16, 32),
        out: tuple[int, int] = (16, 32),
        lstm_dropout: float = 0.0,
        units: tuple[int, int, int] = (32, 16, 32),
        fusion_units: int = 128,
        head_dropout: Four = (0.1, 0.1, 0.0, 0.0),
        label_bound: float = 3.0,
        unimodal: Unimodal = "pseudo",
        language_model: str = "",
        language_config: str = "",
        text_pool: TextPool = "auto",
        rates: Four = (5e-5, 5e-3, 5e-3, 1e-3),
        decays: Four = (1e-3, 1e-3, 1e-3, 1e-3),
        accumulate: int = 4,
    ) -> None:
        super().__init__(dims)
        check_sizes(hidden=hidden, out=out)
        text = states_of(dims, language_model, language_config, "self_mm", text_pool)
        self.read_text(text)
        self.nets = nn.ModuleDict()
        widths = {} if text is None else {"text": text.width}
        for name, size, last in zip(("audio", "vision"), hidden, out, strict=True):
            if name in dims:
                self.nets[name] = SequenceNet(dims[name], size, last, lstm_dropout)
                widths[name] = last
        fused = sum(widths.values())
        self.add_tasks(
            widths, fused, units, fusion_units, head_dropout, label_bound, unimodal, rates, decays, accumulate
        )

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.seen(batch)
        vectors = {} if self.text is None else {"text": self.text.pooled(*self.text(batch))}
        vectors |= {name: net(batch.values[name], batch.mask[name]) for name, net in self.nets.items()}
        return self.scored(vectors, joined(vectors))
