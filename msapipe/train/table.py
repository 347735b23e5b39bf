"""A split of a data set as tensors, made once, so that a training step only copies rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from msapipe.fusion._base import Batch, FusionModel, centred, collate
from msapipe.train._ragged import Ragged, is_large
from msapipe.types import Sample

LABELS = ("M", "T", "A", "V")


@dataclass(frozen=True, eq=False)
class TensorTable:
    """The clips of a split, padded to the longest; large modalities are padded per batch.

    whole: all clips as one batch, without the values of ``ragged``; ``index`` is the row, ``video`` the video's index.
    ragged: modality to values too large to be padded as a whole (see ``Ragged``).   ids, videos: of each clip.
    lengths: modality to int64 (N,), steps up to the last valid one, at least 1.
    """

    whole: Batch
    ids: tuple[str, ...]
    videos: tuple[str, ...]
    lengths: Mapping[str, Tensor]
    ragged: Mapping[str, Ragged] = field(default_factory=dict)
    _scales: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _statistics: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: Sequence[Sample], dims: Mapping[str, int]) -> TensorTable:
        """Stack the features of the modalities in ``dims`` and all labels."""
        parts = {name: [sample.features.get(name) for sample in samples] for name in dims}
        ragged = {name: Ragged.of(own, dims[name]) for name, own in parts.items() if is_large(own, dims[name])}
        small = {name: width for name, width in dims.items() if name not in ragged}
        batch = collate([sample.features for sample in samples], small)
        batch.mask |= {name: part.mask for name, part in ragged.items()}
        batch.labels = labels_of(samples)
        batch.index = torch.arange(len(samples))
        batch.tokens = _tokens(samples)
        batch.video = _numbers([sample.video for sample in samples])
        steps = {name: torch.arange(1, mask.shape[1] + 1) for name, mask in batch.mask.items()}
        lengths = {name: (mask * steps[name]).amax(dim=1).clamp(min=1) for name, mask in batch.mask.items()}
        return cls(batch, tuple(s.id for s in samples), tuple(s.video for s in samples), lengths, ragged)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, which: Tensor) -> Batch:
        """The clips ``which``, padded to the longest of them."""
        whole = self.whole
        cut = {name: int(lengths[which].max()) for name, lengths in self.lengths.items()}
        mask = {name: mask[which, : cut[name]] for name, mask in whole.mask.items()}
        values = {name: values[which, : cut[name]] for name, values in whole.values.items()}
        for name, part in self.ragged.items():
            values[name] = part.padded(which, cut[name])
            if name in self._scales:
                values[name] = centred(values[name], mask[name], *self._scales[name])
        return replace(
            whole,
            values=values,
            mask=mask,
            tokens=None if whole.tokens is None else whole.tokens[which],
            labels={name: label[which] for name, label in whole.labels.items()},
            index=None if whole.index is None else whole.index[which],
            times={name: times[which, : cut[name]] for name, times in whole.times.items()},
            video=None if whole.video is None else whole.video[which],
        )

    def arranged(self, which: Tensor, by_video: bool) -> Tensor:
        """The rows, int64; for a model by video, grouped by video and ordered by clip id.

        Videos keep the order of their first clips.
        """
        if not by_video or self.whole.video is None or not len(which):
            return which
        found: dict[int, list[int]] = {}
        for row, video in zip(which.tolist(), self.whole.video[which].tolist(), strict=True):
            found.setdefault(video, []).append(row)
        return torch.tensor([row for rows in found.values() for row in sorted(rows, key=self._place)])

    def _place(self, row: int) -> tuple[object, ...]:
        """The sort key of a clip within its video; digits in its id sort as numbers."""
        parts = re.split(r"(\d+)", self.ids[row])
        return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)

    def labelled(self, labels: Iterable[str]) -> Tensor:
        """Rows that have at least one of these labels, int64; all rows if none is given."""
        wanted = [self.whole.labels[name].isfinite() for name in labels]
        there = torch.stack(wanted).any(dim=0) if wanted else torch.ones(len(self), dtype=torch.bool)
        return there.nonzero()[:, 0]

    def batches(self, which: Tensor, size: int, by_video: bool = False) -> Iterator[Batch]:
        """Batches of rows ``which`` in this order, of ``size`` clips, or videos if ``by_video`` (see ``arranged``)."""
        which = self.arranged(which, by_video)
        if not by_video or self.whole.video is None:
            yield from (self.rows(which[first : first + size]) for first in range(0, len(which), size))
            return
        _, counts = torch.unique_consecutive(self.whole.video[which], return_counts=True)
        for rows in torch.split(which, [sum(part) for part in batched(counts.tolist(), size)]):
            yield self.rows(rows)

    def count(self, which: Tensor, size: int, by_video: bool = False) -> int:
        """The number of batches of these rows."""
        units = len(which)
        if by_video and self.whole.video is not None:
            units = len(torch.unique(self.whole.video[which]))
        return -(-units // size)

    def statistics(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each column over all valid steps: (D,), (D,); 1 for a constant column.

        They are those of the original features, even after standardisation.
        """
        if name not in self._statistics:
            ragged = self.ragged.get(name)
            if ragged is None:
                self._statistics[name] = _mean_and_deviation(self.whole.values[name][self.whole.mask[name]])
            else:
                self._statistics[name] = _in_parts(ragged)
        return self._statistics[name]

    def standardize(self, model: FusionModel) -> None:
        """Centre and scale all columns in place by the model's buffers, so that no training step repeats it.

        Afterwards the table only serves models with the same statistics.
        """
        if not self.whole.standard:
            for name in self.ragged.keys() - model.raw:
                center, std = (model.get_buffer(f"{kind}_{name}").clone().cpu() for kind in ("center", "std"))
                self._scales[name] = center, std
            for name in model.dims.keys() - self.ragged.keys():
                values, mask = self.whole.values[name], self.whole.mask[name]
                self.whole.values[name] = model.standardized_values(name, values, mask)
            self.whole.standard = True


def labels_of(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """M, T, A and V, each float32 (N,), NaN where a clip has none."""
    return {
        name: torch.tensor([sample.labels.get(name, float("nan")) for sample in samples], dtype=torch.float32)
        for name in LABELS
    }


def _mean_and_deviation(rows: Tensor) -> tuple[Tensor, Tensor]:
    if not len(rows):
        width = rows.shape[-1]
        return torch.zeros(width), torch.ones(width)
    rows = rows.double()
    std = rows.std(dim=0, correction=0)
    return rows.mean(dim=0).float(), torch.where(std > 1e-6, std, 1.0).float()


def _in_parts(ragged: Ragged) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of data too large to copy at once, summed in chunks."""
    keep, step = ragged.valid(), max(1, 2**24 // ragged.rows.shape[1])
    unit = 255.0 if ragged.rows.dtype == torch.uint8 else 1.0

    def total(of: Callable[[Tensor], Tensor]) -> Tensor:
        zero = torch.zeros(ragged.rows.shape[1], dtype=torch.float64)
        parts = ((ragged.rows[i : i + step], keep[i : i + step]) for i in range(0, len(keep), step))
        return sum((of(rows[valid].double() / unit).sum(dim=0) for rows, valid in parts), zero)

    count = keep.sum().clamp(min=1)
    mean = total(lambda rows: rows) / count
    std = (total(lambda rows: (rows - mean) ** 2) / count).sqrt()
    return mean.float(), torch.where(std > 1e-6, std, 1.0).float()


def _numbers(names: Sequence[str]) -> Tensor:
    """The index of each name among the distinct names: int64 (N,)."""
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([known[name] for name in names], dtype=torch.int64)


def batched(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Chunks of ``size`` items."""
    yield from (items[first : first + size] for first in range(0, len(items), size))


def _tokens(samples: Sequence[Sample]) -> Tensor | None:
    """Word-piece ids, mask and segments (N, 3, L), padded with 0; None when no clip has any."""
    longest = max((sample.tokens.shape[1] for sample in samples if sample.tokens is not None), default=0)
    if not longest:
        return None
    out = torch.zeros(len(samples), 3, longest, dtype=torch.int64)
    for row, sample in enumerate(samples):
        if sample.tokens is not None:
            out[row, :, : sample.tokens.shape[1]] = torch.from_numpy(sample.tokens.copy())
    return out


def to_device(batch: Batch, move: Callable[[Tensor], Tensor]) -> Batch:
    """The batch with every tensor moved."""
    return replace(
        batch,
        values={name: move(part) for name, part in batch.values.items()},
        mask={name: move(part) for name, part in batch.mask.items()},
        tokens=None if batch.tokens is None else move(batch.tokens),
        labels={name: move(part) for name, part in batch.labels.items()},
        index=None if batch.index is None else move(batch.index),
        times={name: move(part) for name, part in batch.times.items()},
        video=None if batch.video is None else move(batch.video),
    )
