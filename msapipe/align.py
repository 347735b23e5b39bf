"""Resample feature sequences onto another time grid and concatenate the channels of a modality."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from msapipe.types import FeatureSequence, Transcript

# Prefix of the ``align`` setting that keeps rows unchanged, up to a maximum number.
THIN = "thin "


def uniform_grid(steps: int, seconds: float) -> NDArray[np.float64]:
    """``steps`` equal cells over [0, seconds): float64 (steps, 2)."""
    edges = np.linspace(0.0, seconds, steps + 1)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def word_grid(words: Transcript) -> NDArray[np.float64]:
    """One cell per timed or estimated word: float64 (N, 2), starts in order."""
    cells = [(word.start, word.end) for word in words.words if word.start is not None and word.end is not None]
    grid = np.array(cells, np.float64).reshape(-1, 2)
    return grid[np.argsort(grid[:, 0], kind="stable")]


def resample(sequence: FeatureSequence, grid: NDArray[np.float64]) -> FeatureSequence:
    """Mean of the valid rows that overlap each cell, weighted by the overlap; (T, D) to (N, D).

    grid: float64 (N, 2) seconds. A cell that no valid row overlaps is invalid and zero. A row or cell of length zero
    counts as an instant.
    """
    rows = np.flatnonzero(sequence.valid)
    values = sequence.values[rows].astype(np.float64)
    times = sequence.times[rows]
    out = np.zeros((len(grid), sequence.values.shape[1]))
    valid = np.zeros(len(grid), bool)
    # Rows are sorted by start, not by end: the longest row tells how far back to look.
    longest = float((times[:, 1] - times[:, 0]).max()) if len(times) else 0.0
    for cell, (start, end) in enumerate(grid):
        first = int(np.searchsorted(times[:, 0], start - longest, "left"))
        last = int(np.searchsorted(times[:, 0], max(end, np.nextafter(start, np.inf)), "left"))
        weight = _overlap(times[first:last], start, end)
        if weight.sum() > 0:
            out[cell] = weight @ values[first:last] / weight.sum()
            valid[cell] = True
    return FeatureSequence(out.astype(np.float32), grid, valid, sequence.names, sequence.channels)


def _overlap(times: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    """Seconds that each row shares with [start, end); instants count as one microsecond."""
    instant = 1e-6
    right = np.minimum(np.maximum(times[:, 1], times[:, 0] + instant), max(end, start + instant))
    shared: NDArray[np.float64] = np.clip(right - np.maximum(times[:, 0], start), 0.0, None)
    return shared


def concatenate(channels: Mapping[str, FeatureSequence]) -> FeatureSequence:
    """Concatenate the channels of one modality on the time grid of the first channel.

    A step is valid where any channel is valid; columns of channels that are invalid there are zero. Column names become
    "channel.column", also for a single channel.
    """
    (first_name, first), *others = channels.items()
    parts = {first_name: first} | {
        name: part if np.array_equal(part.times, first.times) else resample(part, first.times) for name, part in others
    }
    bounds: dict[str, tuple[int, int]] = {}
    names: list[str] = []
    column = 0
    for name, part in parts.items():
        width = part.values.shape[1]
        bounds[name] = (column, column + width)
        names += [f"{name}.{label}" for label in (part.names or map(str, range(width)))]
        column += width
    values = [part.values for part in parts.values()]
    return FeatureSequence(
        values[0] if len(values) == 1 else np.concatenate(values, axis=1),
        first.times,
        np.logical_or.reduce([part.valid for part in parts.values()]),
        tuple(names),
        bounds,
    )


def thinned(sequence: FeatureSequence, most: int) -> FeatureSequence:
    """At most ``most`` rows, evenly spaced from the first to the last; a shorter sequence is returned unchanged."""
    count = len(sequence.values)
    if count <= most:
        return sequence
    rows = np.round(np.arange(most) * (count - 1) / max(1, most - 1)).astype(np.int64)
    return FeatureSequence(
        sequence.values[rows], sequence.times[rows], sequence.valid[rows], sequence.names, sequence.channels
    )


def align_channels(
    channels: dict[str, dict[str, FeatureSequence]], words: Transcript | None, to: str | int | None
) -> dict[str, FeatureSequence]:
    """Concatenate the channels of each modality on the pipeline's time grid.

    A clip without words (or tokens) to align to has a single step that covers the whole clip.
    """
    if to is None:
        return {name: concatenate(parts) for name, parts in channels.items()}
    if isinstance(to, str) and to.startswith(THIN):
        most = int(to.removeprefix(THIN))
        return {name: thinned(concatenate(parts), most) for name, parts in channels.items()}
    every = [part for parts in channels.values() for part in parts.values()]
    seconds = max((float(part.times[:, 1].max()) for part in every if len(part.times)), default=0.0)
    if isinstance(to, int):
        grid = uniform_grid(to, seconds)
    elif to == "words":
        grid = word_grid(words or Transcript())
    else:
        grid = next(iter(channels["text"].values())).times if "text" in channels else uniform_grid(0, seconds)
    if not len(grid):
        grid = uniform_grid(1, seconds)
    return {
        name: concatenate({channel: resample(part, grid) for channel, part in parts.items()})
        for name, parts in channels.items()
    }
