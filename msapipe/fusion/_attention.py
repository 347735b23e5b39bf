"""Attention and transformer layers with padding masks, for all models.

Vaswani et al., "Attention Is All You Need" (2017). Masks are True for valid steps. A query without any visible key gets
zeros from attention, so that a missing modality adds nothing and causes no NaN.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from msapipe.errors import ConfigError
from msapipe.fusion._aligned import lengths
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._dropout import ByteDropout, byte_of, kept

Norm = Literal["pre", "post"]

# Up to so many steps, squared, the weights of attention are materialised: on a CPU half the time of the fused kernel.
SHORT = 128

# Narrower heads are zero-padded to this width for the fused kernel: half the time, with equal results.
LANE = 16


@dataclass(frozen=True)
class Dropout:
    """Dropout rates in training.

    embed: on an encoder's input.   attention: on the attention weights.   hidden: on a feed-forward network's units.
    residual: on the output of a sublayer.
    """

    embed: float = 0.0
    attention: float = 0.0
    hidden: float = 0.0
    residual: float = 0.0

    def __post_init__(self) -> None:
        check_dropouts(**asdict(self))


NO_DROPOUT = Dropout()


class Attention(nn.Module):
    """Multi-head scaled dot-product attention: (B, Tq, width) to (B, Tq, width).

    The parameters are those of ``nn.MultiheadAttention``. Dropout removes the same pairs of steps in all heads and
    renormalises the remaining weights (Zehui et al., "DropAttention", 2019); it never removes a row's last pair. So the
    weights need not be materialised, which for hundreds of steps would take most of the time and memory.
    """

    dropped: Tensor

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        check_sizes(width=width, heads=heads)
        check_dropouts(attention=dropout)
        if width % heads:
            raise ConfigError(f"heads: found {heads}, expected a divisor of the width {width}")
        self.heads, self.drops = heads, dropout > 0
        self.register_buffer("dropped", byte_of(dropout), persistent=False)
        self.in_proj = xavier(nn.Linear(width, 3 * width))
        self.out_proj = xavier(nn.Linear(width, width))

    def forward(self, queries: Tensor, mask: Tensor, keys: Tensor | None = None) -> Tensor:
        """Attend to ``keys`` (B, Tk, width), or to the queries themselves without keys.

        mask: bool (B, Tk), the valid keys, or (B, Tq, Tk), the visible keys of each query.
        """
        width = queries.shape[2]
        if keys is None:
            query, key, value = self._split(self.in_proj(queries))
        else:
            weight, bias = self.in_proj.weight, self.in_proj.bias
            (query,) = self._split(functional.linear(queries, weight[:width], bias[:width]))
            key, value = self._split(functional.linear(keys, weight[width:], bias[width:]))
        pairs = mask.view(len(mask), 1, -1, mask.shape[-1])
        seen = pairs.any(dim=-1, keepdim=True)
        if self.training and self.drops:
            pairs = self._thinned(pairs, queries.shape[1])
        # Rows without a visible key see all keys and are zeroed below: softmax over nothing has no gradient.
        joined = attended(query, key, value, pairs | ~seen).transpose(1, 2).flatten(2)
        projected: Tensor = self.out_proj(joined)
        return projected * seen[:, 0]

    def _split(self, projected: Tensor) -> tuple[Tensor, ...]:
        """(B, T, n * width) to n tensors (B, heads, T, width / heads)."""
        width = self.out_proj.in_features
        parts = projected.view(*projected.shape[:2], projected.shape[2] // width, self.heads, width // self.heads)
        return parts.permute(2, 0, 3, 1, 4).unbind(0)

    def _thinned(self, pairs: Tensor, steps: int) -> Tensor:
        """The pairs (B, 1, Tq or 1, Tk) left by dropout, (B, 1, Tq, Tk)."""
        left = pairs & kept((len(pairs), 1, steps, pairs.shape[-1]), self.dropped, pairs.device)
        return torch.where(left.any(dim=-1, keepdim=True), left, pairs)


def attended(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    """Scaled dot-product attention: (B, heads, T, size) each to (B, heads, Tq, size).

    visible: bool, broadcast to (B, heads, Tq, Tk); every query sees a key.
    """
    steps, size = query.shape[2:]
    if steps * key.shape[2] > SHORT**2:
        query, key, value = (functional.pad(part, (0, max(0, LANE - size))) for part in (query, key, value))
        fused = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, scale=size**-0.5)
        return fused[..., :size]
    scores = (query * size**-0.5) @ key.transpose(2, 3) + torch.where(visible, 0.0, -math.inf)
    weights: Tensor = scores.softmax(dim=3)
    # Transposed, since products with a result of few columns take three times as long.
    return (value.transpose(2, 3) @ weights.transpose(2, 3)).transpose(2, 3)


class Attend(nn.Module):
    """Attention with a residual: pre-norm x + A(LN x, LN y), or post-norm LN(x + A(x, y)); keeps (B, T, width)."""

    def __init__(self, width: int, heads: int, *, norm: Norm = "pre", dropout: Dropout = NO_DROPOUT) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout.attention)
        self.drop = ByteDropout(dropout.residual)

    def forward(self, x: Tensor, mask: Tensor, keys: Tensor | None = None) -> Tensor:
        """``mask`` and ``keys`` as in Attention; queries and keys share the norm."""
        if not self.pre:
            return self.norm(x + self.drop(self.attention(x, mask, keys)))  # type: ignore[no-any-return]
        keys = None if keys is None else self.norm(keys)
        return x + self.drop(self.attention(self.norm(x), mask, keys))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear layers with ReLU and a residual: keeps (B, T, width). hidden: units, 4 * width if 0."""

    def __init__(self, width: int, hidden: int = 0, *, norm: Norm = "pre", dropout: Dropout = NO_DROPOUT) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(
            *(xavier(nn.Linear(width, hidden or 4 * width)), nn.ReLU(), ByteDropout(dropout.hidden)),
            *(xavier(nn.Linear(hidden or 4 * width, width)), ByteDropout(dropout.residual)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply to each step."""
        if not self.pre:
            return self.norm(x + self.layers(x))  # type: ignore[no-any-return]
        return x + self.layers(self.norm(x))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """A transformer layer with self-attention or cross-attention: keeps (B, T, width)."""

    def __init__(
        self, width: int, heads: int, hidden: int = 0, *, norm: Norm = "pre", dropout: Dropout = NO_DROPOUT
    ) -> None:
        super().__init__()
        self.attend = Attend(width, heads, norm=norm, dropout=dropout)
        self.feed = FeedForward(width, hidden, norm=norm, dropout=dropout)

    def forward(self, x: Tensor, mask: Tensor, keys: Tensor | None = None) -> Tensor:
        """``mask`` and ``keys`` as in Attention."""
        return self.feed(self.attend(x, mask, keys))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """``depth`` layers of self-attention or cross-attention: keeps (B, T, width), zero where masked.

    scale: factor on the input before sine positions are added.   positions: whether they are added.
    first: the first position.   causal: hide later steps (see ``causal``).   A pre-norm encoder ends with a norm.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        depth: int,
        hidden: int = 0,
        *,
        norm: Norm = "pre",
        dropout: Dropout = NO_DROPOUT,
        scale: float = 1.0,
        positions: bool = True,
        first: int = 0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(layers=depth)
        self.scale, self.positions, self.first, self.causal = scale, positions, first, causal
        self.drop = ByteDropout(dropout.embed)
        self.layers = nn.ModuleList(Layer(width, heads, hidden, norm=norm, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor, keys: Tensor | None = None, key_mask: Tensor | None = None) -> Tensor:
        """mask: bool (B, T).   keys, key_mask: (B, Tk, width) and (B, Tk), shared by all layers, or None."""
        allowed = mask if key_mask is None else key_mask
        if self.causal:
            allowed = causal(mask, allowed)
        x = self._embedded(x)
        keys = None if keys is None else self._embedded(keys)
        for layer in self.layers:
            x = layer(x, allowed, keys)
        return self.norm(x).masked_fill(~mask.unsqueeze(-1), 0.0)  # type: ignore[no-any-return]

    def _embedded(self, x: Tensor) -> Tensor:
        if self.scale != 1.0:
            x = x * self.scale
        if self.positions:
            x = x + sine_positions(x, self.first)
        return self.drop(x)  # type: ignore[no-any-return]


def sine_positions(like: Tensor, first: int = 0) -> Tensor:
    """Sine, then cosine columns, wavelengths 2 pi to 20,000 pi steps: for (B, T, D), (T, D); an odd column is 0.

    first: the position of the first step.
    """
    steps, width = like.shape[1:]
    half = width // 2
    rates = torch.exp(-math.log(10_000) / max(1, half - 1) * torch.arange(half, device=like.device))
    angles = torch.arange(first, first + steps, device=like.device).unsqueeze(1) * rates
    waves = torch.cat([angles.sin(), angles.cos(), angles.new_zeros(steps, width % 2)], dim=1)
    return waves.to(like.dtype)


def causal(queries: Tensor, keys: Tensor) -> Tensor:
    """The visible keys of each query: bool (B, Tq), (B, Tk) to (B, Tq, Tk).

    Keys up to the query's own step, plus the difference of the clip's two lengths, as in Tsai et al. (2019).
    """
    more = (lengths(keys) - lengths(queries)).abs().view(-1, 1, 1)
    step = torch.arange(max(queries.shape[1], keys.shape[1]), device=keys.device)
    near = step[: keys.shape[1]] <= step[: queries.shape[1]].unsqueeze(1) + more
    return near & keys.unsqueeze(1)


def xavier(layer: nn.Linear) -> nn.Linear:
    """The layer with Glorot's uniform weights and zero biases."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
