"""Cache of frozen networks' outputs for the training split, so that each clip is processed once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

Seen = tuple[Tensor, Tensor, Tensor]


class Kept:
    """States (T, d), mask (T,) and vector (d,) of each modality and clip, on the CPU.

    names: the modalities with frozen networks.   sequences: whether states are kept, or only vectors.
    """

    def __init__(self, names: frozenset[str], sequences: bool) -> None:
        self.names, self.sequences = names, sequences
        self._seen: dict[tuple[str, int], Seen] = {}

    def of(self, name: str, index: Tensor, see: Callable[[Tensor], Seen]) -> Seen:
        """States (B, T, d), mask (B, T) and vectors (B, d) of clips (B,); ``see`` computes new ones, by batch index."""
        clips = index.tolist()
        new = [place for place, clip in enumerate(clips) if (name, clip) not in self._seen]
        if new:
            with torch.no_grad():
                found = see(torch.tensor(new, device=index.device))
            for place, states, mask, vector in zip(new, *found, strict=True):
                steps = int(mask.nonzero().max()) + 1 if self.sequences and mask.any() else 1
                # Clones: a view would keep the whole batch in memory.
                parts = (states[:steps].clone(), mask[:steps].clone(), vector.clone())
                self._seen[name, clips[place]] = (parts[0].cpu(), parts[1].cpu(), parts[2].cpu())
        all_states, masks, vectors = zip(*(self._seen[name, clip] for clip in clips), strict=True)
        return (
            pad_sequence(list(all_states), batch_first=True).to(index.device),
            pad_sequence(list(masks), batch_first=True).to(index.device),
            torch.stack(vectors).to(index.device),
        )
