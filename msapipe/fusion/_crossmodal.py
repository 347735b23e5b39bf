"""Crossmodal transformers: every modality attends to every other one, then to itself; one vector each is returned.

Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language Sequences" (2019), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from msapipe.fusion._aligned import last_step, lengths
from msapipe.fusion._attention import NO_DROPOUT, Dropout, Encoder
from msapipe.fusion._base import masked_mean, present
from msapipe.fusion._checks import check_sizes
from msapipe.fusion._stacked import apply_each

# Minimum depth of the self-attention transformers.
LEAST_DEPTH = 3


class Neighbours(nn.Module):
    """A convolution without padding: (B, T, D), (B, T) to (B, N, width), (B, N) with N = T - kernel + 1.

    A window is valid if it lies within its clip and contains a valid step; the first one is also valid if the clip is
    shorter than the kernel.
    """

    def __init__(self, dim: int, width: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.conv = nn.Conv1d(dim, width, kernel, bias=False)

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Windowed values and their mask."""
        values = values.masked_fill(~mask.unsqueeze(-1), 0.0)
        ends = lengths(mask).unsqueeze(1)
        missing = max(0, self.kernel - mask.shape[1])
        values, mask = functional.pad(values, (0, 0, 0, missing)), functional.pad(mask, (0, missing))
        windows: Tensor = self.conv(values.transpose(1, 2)).transpose(1, 2)
        start = torch.arange(windows.shape[1], device=mask.device)
        within = (start + self.kernel <= ends) | (start == 0)
        return windows, within & mask.unfold(1, self.kernel, 1).any(dim=2)


class Crossmodal(nn.Module):
    """Sequences (B, T_m, D_m) of any rates to one vector (B, max(1, M - 1) * width) for each of M modalities.

    A convolution maps each modality to ``width``; it queries each other modality in a transformer of ``depth`` layers,
    and the concatenated results go through a self-attention transformer of at least three layers. A single modality has
    only the latter. Its vector is the mean over the valid steps; in causal transformers the last step, which has seen
    all others; zero if the modality is missing.
    kernels: modality to the width of its convolution, which is omitted if D_m is already ``width``.
    attention: modality to the dropout of attention to it.   memory_attention: dropout of the self-attention.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        width: int,
        heads: int,
        depth: int,
        *,
        kernels: Mapping[str, int],
        attention: Mapping[str, float],
        memory_attention: float = 0.0,
        dropout: Dropout = NO_DROPOUT,
        positions: bool = True,
        causal: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(width=width, heads=heads, layers=depth, kernels=tuple(kernels.values()))
        self.names, self.causal = tuple(dims), causal
        self.local = nn.ModuleDict(
            {name: Neighbours(dim, width, kernels[name]) for name, dim in dims.items() if dim != width}
        )

        def encoder(size: int, layers: int, share: float) -> Encoder:
            rates = Dropout(dropout.embed, share, dropout.hidden, dropout.residual)
            return Encoder(size, heads, layers, dropout=rates, scale=size**0.5, positions=positions, causal=causal)

        pairs = [(name, other) for name in dims for other in dims if other != name]
        self.cross = nn.ModuleDict({f"{a}_{b}": encoder(width, depth, attention[b]) for a, b in pairs})
        # The first one's dropout decides whether those applied together with it draw random numbers at all.
        self.pairs = sorted(pairs, key=lambda pair: -attention[pair[1]])
        self.width = max(1, len(dims) - 1) * width
        deeper = max(depth, LEAST_DEPTH)
        self.memory = nn.ModuleDict({name: encoder(self.width, deeper, memory_attention) for name in dims})

    def forward(self, values: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The vectors, in the order of ``dims``."""
        steps = {
            name: self.local[name](values[name], mask[name]) if name in self.local else (values[name], mask[name])
            for name in self.names
        }
        crossed = apply_each(
            self.cross, {f"{name}_{other}": (*steps[name], *steps[other]) for name, other in self.pairs}
        )
        joined = {name: (self._joined(name, crossed, steps[name][0]), steps[name][1]) for name in self.names}
        states = apply_each(self.memory, joined)
        return {name: self._vector(states[name], mask) for name, (_, mask) in steps.items()}

    def _joined(self, name: str, crossed: Mapping[str, Tensor], own: Tensor) -> Tensor:
        found = [crossed[f"{name}_{other}"] for other in self.names if other != name]
        return torch.cat(found, dim=2) if found else own

    def _vector(self, states: Tensor, mask: Tensor) -> Tensor:
        if not self.causal:
            return masked_mean(states, mask)
        return last_step(states, mask) * present(mask).unsqueeze(1)
