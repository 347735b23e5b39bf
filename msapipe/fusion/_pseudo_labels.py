"""Pseudo-labels of modalities, derived from a clip's position between the positive and negative class centres.

Yu et al., "Learning Modality-Specific Representations with Self-Supervised Multi-Task Learning for Multimodal
Sentiment Analysis" (2021), the unimodal label generation module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, Batches, absolute_error

# Avoids division by zero.
EPS = 1e-8

FUSED = "fused"


class PseudoLabels(nn.Module):
    """Pseudo-label tables over the training split, and the loss weights of unimodal errors.

    The tables exist only during training: they are buffers that are not saved. Before the second epoch, every
    pseudo-label is the clip's label. The centre of an empty class stays unchanged.
    widths: modality, and "fused", to the width of its feature.   bound: largest absolute label.
    """

    def __init__(self, widths: Mapping[str, int], bound: float) -> None:
        super().__init__()
        if not bound > 0:
            raise ConfigError(f"label_bound: found {bound}, expected more than 0")
        self.widths, self.bound = dict(widths), bound
        self.names = tuple(name for name in widths if name != FUSED)

    def start(self, batches: Batches) -> None:
        """Create the tables for a training split: every label is the clip's, no feature is known."""
        parts = [(batch.index, batch.labels["M"]) for batch in batches() if batch.index is not None]
        if not parts:
            raise ValueError("the batches of a training split have an index")
        index, label = torch.cat([part for part, _ in parts]), torch.cat([part for _, part in parts])
        size = int(index.max()) + 1
        own = label.new_zeros(size)
        own[index] = label.nan_to_num()
        self._table("known", torch.zeros_like(own, dtype=torch.bool))
        for name, width in self.widths.items():
            self._table(f"label_{name}", own.clone())
            self._table(f"feature_{name}", own.new_zeros(size, width))
            self._table(f"centers_{name}", own.new_zeros(2, width))

    def of(self, name: str) -> Tensor:
        """The labels of a modality, or of "fused", in the training split: (N,)."""
        return self.get_buffer(f"label_{name}")

    def errors(self, said: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Sum over modalities of the mean of tanh |label_s - label| times |said_s - label_s|: ()."""
        if batch.index is None:
            raise ValueError("a batch of a training split has an index")
        total = batch.labels["M"].new_zeros(())
        for name in self.names:
            label = self.of(name)[batch.index]
            weight = torch.tanh((label - self.of(FUSED)[batch.index]).abs())
            total = total + (weight * (said[name] - label).abs()).mean()
        return total

    def follow(self, features: Mapping[str, Tensor], index: Tensor, epoch: int) -> None:
        """After a step: update the labels of these clips (from the second epoch on), then features and centres."""
        with torch.no_grad():
            if epoch > 1:
                whole = leaning(features[FUSED], self.get_buffer(f"centers_{FUSED}"))
                label = self.of(FUSED)[index]
                for name in self.names:
                    lean = leaning(features[name], self.get_buffer(f"centers_{name}"))
                    table = self.of(name)
                    table[index] = moved(table[index], label, lean, whole, epoch, self.bound)
            self.get_buffer("known")[index] = True
            for name in self.widths:
                self.get_buffer(f"feature_{name}")[index] = features[name].to(self.of(name).dtype)
                self._center(name)

    def _center(self, name: str) -> None:
        """Update the mean features of positive and negative clips seen so far."""
        label, feature = self.of(name), self.get_buffer(f"feature_{name}")
        known = self.get_buffer("known")
        for side, there in enumerate((known & (label > 0), known & (label < 0))):
            if there.any():
                self.get_buffer(f"centers_{name}")[side] = feature[there].mean(dim=0)

    def _table(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)


def leaning(feature: Tensor, centers: Tensor) -> Tensor:
    """(d_neg - d_pos) / d_pos for a feature's distances to the two class centres: (B, d), (2, d) to (B,)."""
    plus, minus = ((feature - center).norm(dim=1) for center in centers)
    lean: Tensor = (minus - plus) / (plus + EPS)
    return lean


def moved(before: Tensor, label: Tensor, lean: Tensor, whole: Tensor, epoch: int, bound: float) -> Tensor:
    """Update a modality's label: all (B,).

    label: of the clip.   lean, whole: of the modality's feature and of the fused one.   The new estimate is the mean of
    label * lean / whole and label + lean - whole; its weight is 2 / (epoch + 1).
    """
    guess = 0.5 * lean / (whole + EPS) * label + 0.5 * (label + lean - whole)
    guess = guess.clamp(-bound, bound)
    return (epoch - 1) / (epoch + 1) * before + 2 / (epoch + 1) * guess


def given_errors(said: Mapping[str, Tensor], labels: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """Sum over modalities of the mean absolute error to human labels: ()."""
    errors = [absolute_error(said[name], labels[name[0].upper()]) for name in names]
    return torch.stack(errors).sum()
