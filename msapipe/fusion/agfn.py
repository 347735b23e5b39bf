"""Adaptive Gated Fusion Network: an entropy gate, an importance gate, and adversarial training of the head.

Wu, Sun, Yang and Wong, "Beyond Simple Fusion: Adaptive Gated Fusion for Robust Multimodal Sentiment Analysis" (2025).
AGFN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._attention import Attention, Dropout, FeedForward
from msapipe.fusion._base import Batch, Group, Output, Phase, Preset, masked_mean, present
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._gates import EntropyGate, GatedFusion, ImportanceGate
from msapipe.fusion._language_model import LanguageModel
from msapipe.fusion._packed import packed
from msapipe.fusion._text_states import TextFusion, TextPool
from msapipe.fusion._vat import adversarial_loss


class Recurrent(nn.Module):
    """A linear layer and a bidirectional LSTM: (B, T, D), (B, T) to (B, T, d); masked steps are zero."""

    def __init__(self, width: int, d: int, layers: int, dropout: float) -> None:
        super().__init__()
        if d % 2:
            raise ConfigError(f"d: found {d}, expected an even number: each direction of the LSTM has half of it")
        self.enter = nn.Linear(width, d)
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(d, d // 2, layers, batch_first=True, bidirectional=True, dropout=between)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """States of both directions up to a clip's last valid step."""
        return packed(self.lstm, self.enter(values).masked_fill(~mask.unsqueeze(-1), 0.0), mask)[0]


class Refine(nn.Module):
    """Pre-norm cross-attention of a modality to the others: keeps (B, T, d).

    shared: one attention over the concatenated others; otherwise one attention for each of ``others``, summed.
    """

    def __init__(self, d: int, heads: int, others: int, shared: bool, dropout: float) -> None:
        super().__init__()
        self.query_norm, self.key_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attentions = nn.ModuleList(Attention(d, heads, dropout) for _ in range(1 if shared else others))
        self.drop = nn.Dropout(dropout)
        self.feed = FeedForward(d, dropout=Dropout(hidden=dropout, residual=dropout))

    def forward(self, x: Tensor, others: list[tuple[Tensor, Tensor]]) -> Tensor:
        """``others``: steps (B, T_m, d) and mask (B, T_m) of each."""
        if len(self.attentions) < len(others):
            steps, masks = zip(*others, strict=True)
            others = [(torch.cat(steps, dim=1), torch.cat(masks, dim=1))]
        query = self.query_norm(x)
        for attention, (keys, mask) in zip(self.attentions, others, strict=True):
            x = x + self.drop(attention(query, mask, self.key_norm(keys)))
        return self.feed(x)  # type: ignore[no-any-return]


class Head(nn.Module):
    """Two layers to a score: (B, d) to (B,)."""

    def __init__(self, d: int, dropout: float) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(d, d), nn.Linear(d, 1)
        self.drop = nn.Dropout(dropout)

    def forward(self, fused: Tensor) -> Tensor:
        """The score."""
        return self.out(self.drop(self.hidden(fused).relu()))[:, 0]  # type: ignore[no-any-return]

    def steady(self, fused: Tensor) -> Tensor:
        """The score without dropout, in training too."""
        return self.out(self.hidden(fused).relu())[:, 0]  # type: ignore[no-any-return]


class Agfn(TextFusion):
    """(B, T_m, D_m) per modality to sequences (B, T_m, d), to vectors h_m (B, d), through two gates to scores (B,).

    Audio and vision go through a bidirectional LSTM, text through a linear layer; each attends to the others and is
    pooled over time. h_fused = alpha h_entropy + (1 - alpha) h_importance, with one learned alpha. The training loss
    includes a virtual adversarial loss of the head.

    fusion: "full"; "ieg" or "mig", one gate only; "none", a linear layer on [h_T; h_A; h_V].   entropy_norm,
    ieg_logits, tau, learn_tau: see EntropyGate.   mig: see ImportanceGate.   share_gate_projection: both gates use the
    same z.   cross_attn: over the concatenated others, over each one separately, or off.   fused_layernorm: h_fused has
    length sqrt(d).   vat_weight: 0 switches it off.   language_model: BERT or XLNet, fine-tuned on token ids; "": the
    text is features.   language_config: see ``_language_model``.   text_pool: "auto" is [CLS] with a language model and
    the mean without, where the first step may be any word.

    The paper does not specify the widths, the cross-modal attention, the head, and the entropy of a real vector (here:
    of its softmax; divided by log d, without which all gates start alike). A negative z reverses the entropy gate;
    ieg_logits "softplus" prevents that. The paper's language_model is "google-bert/bert-base-uncased". A missing
    modality's vector is zero and its weight goes to the others.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Wu et al.",
        "year": 2025,
        "inputs": "tokens, audio, vision",
        "aligned": "no",
        "tasks": "M",
        "parameters": 1_361_673,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "Wu et al., section 3.1",
            {"layers": 3, "vat_steps": 5, "vat_weight": 0.1, "batch": 32, "weight_decay": 0.01, "patience": 8},
        ),
        "mosei": Preset(
            "Wu et al., section 3.1",
            {
                "layers": 2,
                "vat_steps": 3,
                "vat_weight": 0.1,
                "batch": 128,
                "weight_decay": 0.05,
                "patience": 4,
                "epochs": 30,
            },
        ),
    }
    by_modality = frozenset({"w", "H", "g", "norm"})
    words: LanguageModel | None

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        d: int = 128,
        heads: int = 8,
        layers: int = 3,
        dropout: float = 0.1,
        fusion: Literal["full", "ieg", "mig", "none"] = "full",
        entropy_norm: bool = True,
        ieg_logits: Literal["raw", "softplus"] = "raw",
        tau: float = 1.0,
        learn_tau: bool = True,
        mig: Literal["scalar", "vector", "shared_vector"] = "scalar",
        share_gate_projection: bool = False,
        cross_attn: Literal["shared_kv", "pairwise", "none"] = "shared_kv",
        text_pool: TextPool = "auto",
        fused_layernorm: bool = False,
        vat_weight: float = 0.1,
        vat_steps: int = 5,
        vat_rel_eps: float = 0.1,
        language_model: str = "",
        language_config: str = "",
    ) -> None:
        super().__init__(dims)
        check_sizes(d=d, layers=layers, vat_steps=vat_steps)
        check_dropouts(dropout=dropout)
        if share_gate_projection and (fusion != "full" or mig != "scalar"):
            raise ConfigError("share_gate_projection needs fusion full and mig scalar: else there is nothing to share")
        self.vat_weight, self.vat_steps, self.vat_rel_eps = vat_weight, vat_steps, vat_rel_eps
        self.words = None
        if "text" in dims and (language_model or language_config):
            self.words = LanguageModel(language_model, language_config, "agfn")
            self.raw = frozenset({"text"})  # token ids
        self.at_cls = text_pool == "cls" or (text_pool == "auto" and self.words is not None)
        self.encoders = nn.ModuleDict(
            {name: Recurrent(width, d, layers, dropout) for name, width in dims.items() if name != "text"}
        )
        if "text" in dims:
            self.encoders["text"] = nn.Linear(self.words.width if self.words else dims["text"], d)
        count = len(dims)
        others = 0 if cross_attn == "none" else count - 1
        shared = cross_attn == "shared_kv"
        self.refine = nn.ModuleDict({name: Refine(d, heads, others, shared, dropout) for name in dims if others})
        certain = EntropyGate(count, d, entropy_norm, ieg_logits == "softplus", tau, learn_tau)
        important = ImportanceGate(count, d, "open" if fusion == "none" else mig, not share_gate_projection)
        with_entropy, with_importance = fusion in ("full", "ieg"), fusion != "ieg"
        self.gates = GatedFusion(
            certain if with_entropy else None, important if with_importance else None, share_gate_projection
        )
        self.fused_norm = nn.LayerNorm(d, elementwise_affine=False) if fused_layernorm else nn.Identity()
        self.head = Head(d, dropout)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        seen = self._seen(self.seen(batch))
        h = torch.stack([self._pooled(name, self._refined(name, seen), seen[name][1]) for name in seen], dim=1)
        there = torch.stack([present(mask) for _, mask in seen.values()], dim=1)
        fused, diagnostics = self.gates(h, there)
        fused = self.fused_norm(fused)
        diagnostics["norm"] = h.norm(dim=-1)
        return Output(
            score=self.head(fused),
            features={"fused": fused, **dict(zip(seen, h.unbind(1), strict=True))},
            diagnostics={name: part.detach() for name, part in diagnostics.items()},
        )

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean absolute error, plus in training ``vat_weight`` times the adversarial loss of the head."""
        total = super().loss(output, batch, phase)
        if self.training and torch.is_grad_enabled() and self.vat_weight:
            fused = output.features["fused"]
            attack = adversarial_loss(self.head.steady, fused, self.vat_steps, self.vat_rel_eps)
            total = total + self.vat_weight * attack
        return total

    def phases(self) -> tuple[Phase, ...]:
        """The paper's settings for MOSI; those for MOSEI are a preset."""
        groups = (
            Group(lr=1e-4, weight_decay=0.01, name="other"),
            Group(("words.",), lr=5e-5, weight_decay=0.01, name="language_model"),
        )
        return (Phase(groups=groups, epochs=50, optimizer="adamw", schedule="cosine"),)

    @property
    def language_model(self) -> LanguageModel | None:
        """The text's language model, or None."""
        return self.words

    def _seen(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Sequences (B, T_m, d) and masks (B, T_m) of each modality alone, in the order of ``dims``."""
        seen = {}
        for name in self.dims:
            values, mask, encoder = batch.values[name], batch.mask[name], self.encoders[name]
            if name != "text":
                seen[name] = encoder(values, mask), mask
            elif self.words is None:
                seen[name] = encoder(values), mask
            else:
                mask = self.words.mask(batch)
                seen[name] = encoder(self.words(batch, mask.shape[1])), mask
        return seen

    def _refined(self, name: str, seen: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """A modality's sequence (B, T, d) after attending to the others."""
        steps, _ = seen[name]
        if name not in self.refine:
            return steps
        return self.refine[name](steps, [seen[other] for other in seen if other != name])  # type: ignore[no-any-return]

    def _pooled(self, name: str, steps: Tensor, mask: Tensor) -> Tensor:
        """(B, T, d), (B, T) to (B, d), zero if the modality is missing."""
        if name != "text" or not self.at_cls:
            return masked_mean(steps, mask)
        at = mask.int().argmax(dim=1) if self.words is None else self.words.summary(mask)
        return steps[torch.arange(len(steps), device=steps.device), at] * present(mask).unsqueeze(1)
