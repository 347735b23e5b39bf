"""Put sequences of different rates on one time grid, and take the last step of a sequence.

A clip's sequence ends at its last valid step. Masked steps before it (no face, silence) remain as zero steps, so that
the modalities keep a common time axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from msapipe.fusion._base import Batch


def lengths(mask: Tensor) -> Tensor:
    """Number of steps up to the last valid one, 0 if there is none: bool (B, T) to int64 (B,)."""
    return (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(dim=1)


def last_step(states: Tensor, mask: Tensor) -> Tensor:
    """The state at each clip's last valid step, or at the first step without one: (B, T, H), (B, T) to (B, H)."""
    at = (lengths(mask) - 1).clamp(min=0)
    return states[torch.arange(len(states), device=states.device), at]


def one_grid(batch: Batch, names: Sequence[str], most: int | None = None) -> tuple[dict[str, Tensor], Tensor]:
    """Average every modality into the same number of windows: name to (B, N, D_m), and mask (B, N).

    The number of windows is that of the text's steps, without text that of the shortest modality, and 1 for an empty
    clip; at most ``most``. Windows split a clip's own length evenly, as in adaptive pooling; if lengths agree, nothing
    changes. A window without a valid step is zero. ``batch`` is standardised.
    """
    ends = {name: lengths(batch.mask[name]) for name in names}
    count = _windows(ends, most)
    window = torch.arange(int(count.max()), device=count.device)
    values = {name: window_means(batch.values[name], batch.mask[name], ends[name], count, window) for name in names}
    return values, window < count.unsqueeze(1)


def _windows(ends: dict[str, Tensor], most: int | None) -> Tensor:
    """Number of windows of each clip: lengths (B,) of each modality to int64 (B,)."""
    stacked = torch.stack(list(ends.values()))
    unbounded = torch.iinfo(stacked.dtype).max
    count = stacked.masked_fill(stacked == 0, unbounded).amin(dim=0)
    if "text" in ends:
        count = torch.where(ends["text"] > 0, ends["text"], count)
    count = count.masked_fill(count == unbounded, 1)
    return count if most is None else count.clamp(max=most)


def window_means(values: Tensor, mask: Tensor, end: Tensor, count: Tensor, window: Tensor) -> Tensor:
    """Means over the valid steps of each window: (B, T, D), (B, T), lengths and windows (B,), (N,) to (B, N, D)."""
    weight = (within(end, count, window, values.shape[1]) & mask.unsqueeze(1)).to(values.dtype)
    return weight @ values / weight.sum(dim=2, keepdim=True).clamp(min=1)


def within(end: Tensor, count: Tensor, window: Tensor, steps: int) -> Tensor:
    """Which steps lie in which of ``count`` even windows of a clip's first ``end``: (B,), (B,), (N,) to (B, N, T)."""
    end, count = end.view(-1, 1, 1), count.view(-1, 1, 1)
    step = torch.arange(steps, device=end.device).view(1, 1, -1)
    first = window.view(1, -1, 1) * end // count
    after = ((window.view(1, -1, 1) + 1) * end + count - 1) // count
    return (step >= first) & (step < after)
