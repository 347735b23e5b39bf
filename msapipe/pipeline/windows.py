"""Long clips in windows: cut features by time, and combine the windows' scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from msapipe.pipeline.spec import PipelineSpec
from msapipe.types import FeatureSequence

Features = Mapping[str, FeatureSequence]

# Seconds. A clip up to LONG is one window; a longer one is cut every LENGTH. A remainder shorter than SHORTEST joins
# the last window.
LONG, LENGTH, SHORTEST = 60.0, 30.0, 10.0

# People speak two to three words a second; silence weighs like speech at a tenth of that.
_SECONDS_A_WORD = 3.0


def windows_of(seconds: float, length: float | None = None) -> NDArray[np.float64]:
    """The windows of a clip of this length: float64 (N, 2) seconds, without gap or overlap, N >= 1.

    length: seconds of a window; the last one is no shorter than a third of it; None: the model's own windows.
    """
    if seconds <= (LONG if length is None else length):
        return np.array([[0.0, seconds]])
    size, shortest = (LENGTH, SHORTEST) if length is None else (length, length / 3)
    count = int(seconds // size) + int(seconds % size >= shortest)
    edges = np.append(np.arange(count) * size, seconds)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def length_of(features: Features) -> float:
    """Seconds up to the end of the last row of any modality."""
    return max((float(part.times[:, 1].max()) for part in features.values() if len(part.times)), default=0.0)


def why_whole(spec: PipelineSpec) -> str:
    """Why this pipeline's features cannot be cut by time, or "".

    Rows that each cover a share of the clip (``align: {to: N}``) are too long for it, and token ids only make sense
    together, with the special tokens at both ends. Rows on words can be cut: each was made from its word alone.
    """
    if spec.align not in (None, "words"):
        return "the tokens" if spec.align == "tokens" else f"{spec.align} steps"
    if any(use.name == "tokens" for use in spec.stages.get("text", ())):
        return "the tokens"
    return ""


def cut(features: Features, windows: NDArray[np.float64]) -> dict[int, dict[str, FeatureSequence]]:
    """The features of each window that holds a valid row, by the window's number, in order.

    windows: float64 (N, 2).   A row belongs to the window that contains its middle; a row at least as long as a window
    (sound over ten seconds, say) also belongs to each window of which it covers half. Its times do not change.
    """
    belongs = {name: _belongs(part, windows) for name, part in features.items()}
    seen = [
        number for number in range(len(windows)) if any(belongs[n](number)[p.valid].any() for n, p in features.items())
    ]
    return {number: {name: rows_of(part, belongs[name](number)) for name, part in features.items()} for number in seen}


def _belongs(part: FeatureSequence, windows: NDArray[np.float64]) -> Callable[[int], NDArray[np.bool_]]:
    """A function from a window's number to the mask of the rows that belong to it."""
    place = np.searchsorted(windows[1:, 0], part.times.mean(axis=1), "right")
    start, end = part.times.T

    def rows(number: int) -> NDArray[np.bool_]:
        left, right = windows[number]
        covered = np.minimum(end, right) - np.maximum(start, left)
        return np.asarray((place == number) | ((end - start >= right - left) & (covered >= (right - left) / 2)))

    return rows


def weights_of(
    clips: Sequence[Features], windows: NDArray[np.float64], without: str | None = None
) -> NDArray[np.float64]:
    """The weight of each window in the score of the whole clip: float64 (N,).

    A window weighs its words (valid rows of text) plus one for every three seconds: words count most, one misheard word
    does not outweigh minutes, and the score of a clip without speech is its mean over time.
    The weight is 0 if no modality but ``without`` has a valid row.
    """
    weights = np.zeros(len(clips))
    for number, (clip, (start, end)) in enumerate(zip(clips, windows, strict=True)):
        rows = {name: int(part.valid.sum()) for name, part in clip.items() if name != without}
        if any(rows.values()):
            weights[number] = rows.get("text", 0) + max(end - start, 1.0) / _SECONDS_A_WORD
    return weights


def mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean over the windows, (N, ...) to (...); for a single window exactly its value."""
    total: NDArray[np.float64] = np.tensordot(weights / weights.sum(), values, axes=1)
    return total


def rows_of(part: FeatureSequence, which: NDArray[np.bool_]) -> FeatureSequence:
    """The rows of a mask, with their times."""
    return FeatureSequence(part.values[which], part.times[which], part.valid[which], part.names, part.channels)
