"""Attention and transformer layers that know what is padding, for every model here that attends.

Vaswani et al., "Attention Is All You Need" (2017). Masks are True where a step is valid. A row of queries without
any key it may see gets zeros from attention, so that a missing modality adds nothing and nothing becomes NaN.
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
from msapipe.fusion._dropout import kept

Norm = Literal["pre", "post"]

# Narrower heads are filled with zeros up to this: the kernels take half the time, and the numbers stay.
LANE = 16


@dataclass(frozen=True)
class Dropout:
    """Shares dropped in training.

    embed: of what enters an encoder.   attention: of the pairs of steps.   hidden: of the units of a feed-forward net.
    residual: of what a sublayer adds.
    """

    embed: float = 0.0
    attention: float = 0.0
    hidden: float = 0.0
    residual: float = 0.0

    def __post_init__(self) -> None:
        check_dropouts(**asdict(self))


NO_DROPOUT = Dropout()


class Attention(nn.Module):
    """Scaled dot-product attention with several heads: (B, Tq, width) to (B, Tq, width).

    The parameters are those of ``nn.MultiheadAttention``. Dropout takes away the same pairs of steps in all heads and
    lets the weights of what is left sum to one (Zehui et al., "DropAttention", 2019), never a row's last pair: the
    weights need not exist as a tensor, which for hundreds of steps is most of the time and the memory.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        check_sizes(width=width, heads=heads)
        check_dropouts(attention=dropout)
        if width % heads:
            raise ConfigError(f"heads: found {heads}, expected a divisor of the width {width}")
        self.heads, self.dropout = heads, dropout
        self.in_proj = xavier(nn.Linear(width, 3 * width))
        self.out_proj = xavier(nn.Linear(width, width))

    def forward(self, queries: Tensor, mask: Tensor, keys: Tensor | None = None) -> Tensor:
        """Attend to ``keys`` (B, Tk, width), without them to the queries themselves.

        mask: bool (B, Tk), the valid keys, or (B, Tq, Tk), the keys that each query may see.
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
        if self.training and self.dropout:
            pairs = self._thinned(pairs, queries.shape[1])
        # Where nothing is seen all is, and taken back below: softmax over nothing has no gradient.
        found = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=pairs | ~seen, scale=(width // self.heads) ** -0.5
        )
        joined = found[..., : width // self.heads].transpose(1, 2).flatten(2)
        attended: Tensor = self.out_proj(joined)
        return attended * seen[:, 0]

    def _split(self, projected: Tensor) -> tuple[Tensor, ...]:
        """(B, T, n * width) to n tensors (B, heads, T, at least LANE)."""
        width = self.out_proj.in_features
        rows, steps = projected.shape[:2]
        size = width // self.heads
        parts = projected.view(rows, steps, projected.shape[2] // width, self.heads, size)
        if size < LANE:
            parts = functional.pad(parts, (0, LANE - size))
        return parts.permute(2, 0, 3, 1, 4).unbind(0)

    def _thinned(self, pairs: Tensor, steps: int) -> Tensor:
        """The pairs (B, 1, Tq or 1, Tk) that dropout leaves, (B, 1, Tq, Tk)."""
        left = pairs & kept((len(pairs), 1, steps, pairs.shape[-1]), self.dropout, pairs.device)
        return torch.where(left.any(dim=-1, keepdim=True), left, pairs)


class Attend(nn.Module):
    """Attention with its residual: pre-norm x + A(LN x, LN y), or post-norm LN(x + A(x, y)); (B, T, width) stays."""

    def __init__(self, width: int, heads: int, *, norm: Norm = "pre", dropout: Dropout = NO_DROPOUT) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout.attention)
        self.drop = nn.Dropout(dropout.residual)

    def forward(self, x: Tensor, mask: Tensor, keys: Tensor | None = None) -> Tensor:
        """``mask`` and ``keys`` as in Attention; the one norm serves queries and keys."""
        if not self.pre:
            return self.norm(x + self.drop(self.attention(x, mask, keys)))  # type: ignore[no-any-return]
        keys = None if keys is None else self.norm(keys)
        return x + self.drop(self.attention(self.norm(x), mask, keys))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear layers, ReLU between them, with their residual: (B, T, width) stays. hidden: units, 4 widths if 0."""

    def __init__(self, width: int, hidden: int = 0, *, norm: Norm = "pre", dropout: Dropout = NO_DROPOUT) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(
            *(xavier(nn.Linear(width, hidden or 4 * width)), nn.ReLU(), nn.Dropout(dropout.hidden)),
            *(xavier(nn.Linear(hidden or 4 * width, width)), nn.Dropout(dropout.residual)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Each step by itself."""
        if not self.pre:
            return self.norm(x + self.layers(x))  # type: ignore[no-any-return]
        return x + self.layers(self.norm(x))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """A transformer layer, over itself or over other keys: (B, T, width) stays."""

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
    """``depth`` layers over a sequence, or of a sequence over another: (B, T, width) stays, zero where masked out.

    scale: what the input is multiplied by before sine positions are added.   positions: whether they are.
    first: the first one.   causal: a step sees only what is not after it (see ``causal``).   A pre-norm encoder ends
    with a norm.
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
        self.drop = nn.Dropout(dropout.embed)
        self.layers = nn.ModuleList(Layer(width, heads, hidden, norm=norm, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor, keys: Tensor | None = None, key_mask: Tensor | None = None) -> Tensor:
        """mask: bool (B, T).   keys, key_mask: (B, Tk, width) and (B, Tk), the same for every layer, or None."""
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
    """Sines, then cosines, of wavelengths from 2 pi to 20,000 pi steps: for (B, T, D), (T, D); an odd column is 0.

    first: the position of the first step.
    """
    steps, width = like.shape[1:]
    half = width // 2
    rates = torch.exp(-math.log(10_000) / max(1, half - 1) * torch.arange(half, device=like.device))
    angles = torch.arange(first, first + steps, device=like.device).unsqueeze(1) * rates
    waves = torch.cat([angles.sin(), angles.cos(), angles.new_zeros(steps, width % 2)], dim=1)
    return waves.to(like.dtype)


def causal(queries: Tensor, keys: Tensor) -> Tensor:
    """Which valid keys a query may see: bool (B, Tq), (B, Tk) to (B, Tq, Tk).

    Those up to its own step, and as many more as the clip's two lengths differ by, as in Tsai et al. (2019).
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
