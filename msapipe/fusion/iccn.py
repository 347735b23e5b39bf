"""Outer products of text with audio and with vision, trained to be maximally correlated, beside the text.

Sun et al., "Learning Relationships between Text, Audio, and Video via Deep Canonical Correlation for Multimodal
Language Analysis" (2020). ICCN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, Group, Output, Phase
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._subnet import Decision, SequenceNet
from msapipe.fusion._text_states import TextFusion, TextPool, TextStates

# Output size of the adaptive pooling after the convolutions.
GRID = (4, 4)


class Correlated(nn.Module):
    """Two convolutions on the outer product of text and another modality: (B, D_t), (B, d) to (B, out)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, channels, 3, stride=(4, 2), padding=1), nn.ReLU()),
            *(nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(GRID), nn.Flatten()),
            nn.Linear(2 * channels * GRID[0] * GRID[1], out),
        )

    def forward(self, text: Tensor, other: Tensor) -> Tensor:
        """The features k."""
        product = text.unsqueeze(2) * other.unsqueeze(1)
        return self.layers(product.unsqueeze(1))  # type: ignore[no-any-return]


class Iccn(TextFusion):
    """Text (B, D_t), audio and vision as vectors (B, width) to k_1, k_2 (B, outs), with the text to scores (B,).

    First the convolutions are trained to maximise the correlation of k_1 and k_2, which needs no label, then all
    parameters on the score. width: of the LSTMs of audio and vision.   channels, outs: of the convolutions and of k.
    units: of the layers before the score.   correlation: weight of the correlation relative to the score's error.
    ridge: added to the covariances.   language_model, language_config, text_pool: see ``_text_states``. Correlations
    are computed per batch, which must be much larger than ``outs``. Without audio or vision there is only one k and no
    correlation. All sizes but these are ours.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Sun et al.",
        "year": 2020,
        "inputs": "tokens, audio, vision",
        "aligned": "no",
        "tasks": "M",
        "parameters": 89_213,
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: int = 32,
        channels: int = 8,
        outs: int = 30,
        units: int = 64,
        dropout: float = 0.2,
        correlation: float = 0.01,
        ridge: float = 1e-3,
        batch: int = 256,
        language_model: str = "",
        language_config: str = "",
        text_pool: TextPool = "auto",
        lr: float = 1e-3,
        lr_text: float = 2e-5,
    ) -> None:
        super().__init__(dims)
        if "text" not in dims:
            raise ConfigError("iccn: multiplies the text with the other modalities, and there is no text")
        if ridge <= 0:
            raise ConfigError(f"ridge: found {ridge}, expected more than 0")
        check_sizes(width=width, channels=channels, outs=outs, units=units, batch=batch)
        check_dropouts(dropout=dropout)
        self.correlation, self.ridge, self.batch, self.rates = correlation, ridge, batch, (lr, lr_text)
        text = TextStates(dims["text"], language_model, language_config, "iccn", text_pool)
        self.read_text(text)
        self.nets = nn.ModuleDict(
            {name: SequenceNet(size, width, width, 0.0) for name, size in dims.items() if name != "text"}
        )
        self.joint = nn.ModuleDict({name: Correlated(channels, outs) for name in self.nets})
        self.decision = Decision(text.width + outs * len(self.nets), units, dropout)

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.seen(batch)
        text = self.text.pooled(*self.text(batch))
        k = {name: self.joint[name](text, net(batch.values[name], batch.mask[name])) for name, net in self.nets.items()}
        score, last = self.decision(torch.cat([text, *k.values()], dim=1))
        losses = {}
        if len(k) == 2 and not torch.is_inference_mode_enabled():
            losses["correlation"] = -canonical_correlations(k["audio"], k["vision"], self.ridge).sum()
        return Output(score=score, features={"fused": last, **k}, losses=losses)

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """The correlation alone, or mean absolute error plus the weighted correlation."""
        correlation = output.losses.get("correlation", output.score.new_zeros(()))
        if phase == "correlation":
            return correlation
        return super().loss(Output(output.score), batch, phase) + self.correlation * correlation

    def phases(self) -> tuple[Phase, ...]:
        """Ours: the paper states no rates."""
        other, text = (Group(lr=self.rates[0]), Group(("text.",), lr=self.rates[1], name="text"))
        whole = Phase(groups=(other, text), batch=self.batch)
        if len(self.nets) < 2:
            return (whole,)
        below = Group(("nets.", "joint."), lr=self.rates[0])
        alone = Phase("correlation", groups=(below,), batch=self.batch, labels=(), monitor="loss", epochs=50)
        return alone, whole


def canonical_correlations(x: Tensor, y: Tensor, ridge: float) -> Tensor:
    """Canonical correlations, largest first: (B, d), (B, e) to (min(d, e),), in double precision.

    The singular values of S_xx^-1/2 S_xy S_yy^-1/2 with ``ridge`` added to the diagonals of S_xx and S_yy; computed by
    Cholesky factors, which give the same values and, unlike symmetric roots, a gradient if eigenvalues coincide.
    """
    x, y = (part.double() - part.double().mean(dim=0) for part in (x, y))
    count = max(1, len(x) - 1)

    def root(part: Tensor) -> Tensor:
        covariance = part.T @ part / count
        lower: Tensor = torch.linalg.cholesky(covariance + ridge * torch.eye(part.shape[1]).to(part))
        return lower

    left = torch.linalg.solve_triangular(root(x), x.T @ y / count, upper=False)
    whole = torch.linalg.solve_triangular(root(y), left.T, upper=False)
    found: Tensor = torch.linalg.svdvals(whole)
    return found
