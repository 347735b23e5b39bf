"""The multimodal adaptation gate inside a language model, for ``mag_bert`` and ``mag_xlnet``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, Batches, Given, Group, Output, Phase, masked_mean, present
from msapipe.fusion._checks import check_dropouts
from msapipe.fusion._language_model import FeatureText, LanguageModel, fit
from msapipe.fusion._shift_gate import ShiftGate
from msapipe.fusion._text_grid import on_text_grid
from msapipe.fusion._text_states import TextFusion


class Mag(TextFusion):
    """(B, T_m, D_m) per modality on the text's N steps to text states (B, N, d), shifted once by audio and vision, to
    one vector (B, d) and to scores (B,).

    language_model: fine-tuned on token ids; "": text features go through ``text_layers`` random transformer layers
    of ``text_width`` columns instead, unlike the paper.   language_config: see ``_language_model``.
    insert_layer: layers before the gate; 0: after the embedding, -1: as in the paper.   strength: maximum length of a
    shift relative to the shifted state; fixed.   gate_dropout: after the gate's norm.   pooler: a linear layer
    and tanh on the summary token, as in BERT; otherwise the state itself.   aligned: step k of audio
    and vision belongs to step k of the text; false averages them over windows, unlike the paper.   A clip
    without text is represented by the mean of its steps.
    """

    family: ClassVar[str]
    usual_layer: ClassVar[int]

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        language_model: str = "",
        language_config: str = "",
        text_width: int = 64,
        text_layers: int = 3,
        text_heads: int = 4,
        insert_layer: int = -1,
        strength: float = 1.0,
        gate_dropout: float = 0.3,
        dropout: float = 0.1,
        pooler: bool = True,
        aligned: bool = True,
        lr: float = 2e-5,
        lr_other: float = 0.0,
    ) -> None:
        super().__init__(dims)
        name = f"mag_{self.family}"
        if "text" not in self.dims:
            raise ConfigError(f"{name}: shifts the text's states, and there is no text")
        check_dropouts(dropout=dropout, gate_dropout=gate_dropout)
        named = bool(language_model or language_config)
        branch = (
            LanguageModel(language_model, language_config, name, families=(self.family,))
            if named
            else FeatureText(self.dims["text"], text_width, text_layers, text_heads, dropout)
        )
        self.insert_layer = self.usual_layer if insert_layer == -1 else insert_layer
        branch.check_insertion(self.insert_layer)
        self.read_text(branch)
        self.aligned, self.rates = aligned, (lr, lr_other or (lr if named else 1e-3))
        helpers = {helper: width for helper, width in self.dims.items() if helper != "text"}
        self.gate = (
            ShiftGate(
                branch.width, helpers, strength=strength, learn=False, bias="values", norm=True, dropout=gate_dropout
            )
            if helpers
            else None
        )
        self.pooler = nn.Linear(branch.width, branch.width) if pooler else None
        self.drop = nn.Dropout(dropout)
        self.score = nn.Linear(branch.width, 1)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.seen(batch)
        words = self.text.mask(batch)
        values, mask = on_text_grid(
            batch, words, [name for name in self.dims if name != "text"], self.aligned, self.text.most
        )
        steps = mask.shape[1]
        words = fit(words, steps)
        shift: dict[str, Tensor] = {}

        def gate(states: Tensor) -> Tensor:
            states, shift["h"] = self.gate(states, values, words)  # type: ignore[misc]
            return states

        states = self.text(batch, steps, self.insert_layer, gate if self.gate is not None else None)
        fused = self._pooled(states, words)
        return Output(
            score=self.score(self.drop(fused))[:, 0],
            features={"fused": fused},
            diagnostics={f"shift_{name}": h.detach().norm(dim=2) for name, h in shift.items()},
        )

    def _pooled(self, states: Tensor, words: Tensor) -> Tensor:
        """(B, N, d) to the clip's vector (B, d)."""
        at = self.text.summary(words)
        found = states[torch.arange(len(states), device=states.device), at]
        if self.pooler is not None:
            found = torch.tanh(self.pooler(found))
        return torch.where(present(words).unsqueeze(1), found, masked_mean(states, words))

    def phases(self) -> tuple[Phase, ...]:
        """MMSA's settings for MOSI."""
        groups = (Group(lr=self.rates[1]), Group(("text.net.", "pooler."), lr=self.rates[0], name="language_model"))
        return (Phase(groups=groups, batch=32, clip=None),)

    def begin(self, phase: str, batches: Batches) -> None:
        """Load the weights of the language model, including its pooler."""
        if self.language_model is not None:
            self.language_model.load(self.pooler)

    @classmethod
    def unfit(cls, given: Given, params: Mapping[str, Any]) -> str | None:
        """Requires alignment: the gate shifts a word by audio and vision at that word."""
        return why_unaligned(given, params) or super().unfit(given, params)


def why_unaligned(given: Given, params: Mapping[str, Any]) -> str | None:
    """Why a model aligned to the text's steps cannot read unaligned features."""
    if params.get("aligned", True) and given.unaligned:
        return (
            f"audio and vision must be aligned to the steps of the text, and clip {given.unaligned} has more of them; "
            "extract with a pipeline that aligns to words, or take aligned=false, which averages over windows"
        )
    return None
