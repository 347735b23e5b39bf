"""Unpadded rows of many clips, concatenated, for modalities that would grow many times if padded to the longest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msapipe.types import FeatureSequence

# Rows as wide as a 37 x 37 picture are never padded to the longest clip.
WIDE = 4096

# Nor is a modality that would take this many bytes padded.
MOST_PADDED = 2**30


def is_large(parts: Sequence[FeatureSequence | None], width: int) -> bool:
    """Whether a modality of these clips is better kept unpadded."""
    longest = max((len(part.values) for part in parts if part is not None), default=0)
    return width >= WIDE or 4 * len(parts) * longest * width > MOST_PADDED


@dataclass(frozen=True, eq=False)
class Ragged:
    """rows: (sum of T, D), float32, or uint8 for pictures, scaled by 255.   starts: int64 (N + 1,).

    mask: bool (N, longest T), as if padded.
    """

    rows: Tensor
    starts: Tensor
    mask: Tensor

    @classmethod
    def of(cls, parts: Sequence[FeatureSequence | None], width: int) -> Ragged:
        """Copy clip by clip, so that at most one clip is in memory twice."""
        lengths = [0 if part is None else len(part.values) for part in parts]
        starts = torch.tensor([0, *np.cumsum(lengths).tolist()])
        pictures = width >= WIDE and all(part is None or _is_picture(part.values) for part in parts)
        rows = torch.zeros(int(starts[-1]), width, dtype=torch.uint8 if pictures else torch.float32)
        mask = torch.zeros(len(parts), max(1, *lengths, 1), dtype=torch.bool)
        for number, part in enumerate(parts):
            if part is not None and lengths[number]:
                own = np.rint(part.values * 255).astype(np.uint8) if pictures else part.values.copy()
                rows[starts[number] : starts[number + 1]] = torch.from_numpy(own)
                mask[number, : lengths[number]] = torch.from_numpy(part.valid.copy())
        return cls(rows, starts, mask)

    def padded(self, which: Tensor, steps: int) -> Tensor:
        """The clips ``which``, float32 (B, steps, D), cut or padded with zeros."""
        out = torch.zeros(len(which), steps, self.rows.shape[1])
        for place, number in enumerate(which.tolist()):
            begin, end = int(self.starts[number]), int(self.starts[number + 1])
            own = self.rows[begin : min(end, begin + steps)]
            # Pictures were made by division as well, so the same floats come back.
            out[place, : len(own)] = own.float() / 255 if own.dtype == torch.uint8 else own
        return out

    def valid(self) -> Tensor:
        """The mask of valid rows, bool (sum of T,)."""
        lengths = self.starts.diff()
        return self.mask[torch.arange(self.mask.shape[1]) < lengths.unsqueeze(1)]


def _is_picture(values: NDArray[np.float32]) -> bool:
    """Whether all values are multiples of 1/255, so that a byte holds each without loss."""
    whole = np.rint(values * 255)
    same = whole / np.float32(255) == values
    return bool(same.all() and whole.min(initial=0) >= 0 and whole.max(initial=0) <= 255)
