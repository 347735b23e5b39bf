"""Self-attention of words by similarities in text and audio.

Yang, Xu and Gao, "CM-BERT: Cross-Modal BERT for Text-Audio Sentiment Analysis" (2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, Given, Group, Output, Phase, squared_error
from msapipe.fusion._bridge import convolved, scaled
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._language_model import fit
from msapipe.fusion._mag import why_unaligned
from msapipe.fusion._text_grid import on_text_grid
from msapipe.fusion._text_states import TextFusion, TextPool, TextStates


class CmBert(TextFusion):
    """Text states X (B, N, d) and audio on the same steps to X + W X through a linear layer, at [CLS] to scores (B,).

    W = softmax of w_t ReLU(t t^T) + w_a ReLU(a a^T) + b over the valid words, with t and a convolutions of kernel 1 on
    text and audio, and t divided by the root of its norm over the clip. Vision is not used.
    width: of t and a.   attention_dropout: on W.   language_model: fine-tuned on token ids; "": the text is features.
    aligned: step k of the audio belongs to step k of the text; false averages it over windows.
    The paper's code takes the norm over the whole batch; here, clips do not affect each other.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Yang, Xu, Gao",
        "year": 2020,
        "inputs": "tokens, audio",
        "aligned": "yes",
        "tasks": "M",
        "parameters": 616_090,
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: int = 30,
        attention_dropout: float = 0.3,
        dropout: float = 0.1,
        language_model: str = "",
        language_config: str = "",
        text_pool: TextPool = "auto",
        aligned: bool = True,
        lr: float = 2e-5,
        lr_other: float = 0.0,
    ) -> None:
        super().__init__(dims)
        if "text" not in dims:
            raise ConfigError("cm_bert: attends over words, and there is no text")
        check_sizes(width=width)
        check_dropouts(attention_dropout=attention_dropout, dropout=dropout)
        text = TextStates(dims["text"], language_model, language_config, "cm_bert", text_pool)
        self.read_text(text)
        self.aligned = aligned
        self.rates = (lr, lr_other or (lr if self.language_model is not None else 1e-3))
        self.alike = nn.Conv1d(text.width, width, 1, bias=False)
        self.heard = nn.Conv1d(dims["audio"], width, 1, bias=False) if "audio" in dims else None
        self.weights = nn.Parameter(torch.ones(1 if self.heard is None else 2))
        self.bias = nn.Parameter(torch.zeros(()))
        self.attention_drop, self.drop = nn.Dropout(attention_dropout), nn.Dropout(dropout)
        self.dense, self.norm = nn.Linear(text.width, text.width), nn.LayerNorm(text.width)
        self.score = nn.Linear(text.width, 1)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.seen(batch)
        states, words = self.text(batch)
        attention = self._attention(states, words, batch)
        met = self.attention_drop(attention) @ states + states
        found = self.norm(self.drop(self.dense(met))).masked_fill(~words.unsqueeze(2), 0.0)
        fused = self.text.pooled(found, words)
        return Output(
            score=self.score(self.drop(fused))[:, 0],
            features={"fused": fused},
            diagnostics={"attention": attention.detach()},
        )

    def _attention(self, states: Tensor, words: Tensor, batch: Batch) -> Tensor:
        """Attention weights over the valid words, 0 for others: (B, N, N)."""
        text = scaled(convolved(self.alike, states), words)
        logits = self.weights[0] * _products(text)
        if self.heard is not None:
            values, mask = on_text_grid(batch, words, ["audio"], self.aligned, self.text.most)
            steps = words.shape[1]
            audio = fit((values["audio"] * mask.unsqueeze(2)).transpose(1, 2), steps).transpose(1, 2)
            logits = logits + self.weights[1] * _products(convolved(self.heard, audio))
        # A finite value avoids NaN for a clip without text.
        logits = (logits + self.bias).masked_fill(~words.unsqueeze(1), torch.finfo(logits.dtype).min)
        return logits.softmax(dim=2) * (words.unsqueeze(1) & words.unsqueeze(2))

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean squared error."""
        return squared_error(output.score, batch.labels["M"])

    def phases(self) -> tuple[Phase, ...]:
        """The paper's rate and batch; the number of epochs is ours."""
        groups = (Group(lr=self.rates[1]), Group(("text.",), lr=self.rates[0], name="language_model"))
        return (Phase(groups=groups, optimizer="adamw", batch=24, epochs=40),)

    @classmethod
    def unfit(cls, given: Given, params: Mapping[str, Any]) -> str | None:
        """Requires alignment: attention compares the audio at two words."""
        return why_unaligned(given, params) or super().unfit(given, params)


def _products(states: Tensor) -> Tensor:
    """ReLU(X X^T): (B, N, d) to (B, N, N)."""
    return (states @ states.transpose(1, 2)).relu()
