"""Long clips in windows: features cut by time, and what was found in each put together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from msapipe.pipeline.spec import PipelineSpec
from msapipe.types import FeatureSequence

Features = Mapping[str, FeatureSequence]

# Seconds. A clip up to LONG is one window; a longer one is cut every LENGTH, and its end is no window of its own
# when it is shorter than SHORTEST.
LONG, LENGTH, SHORTEST = 60.0, 30.0, 10.0

# People speak two to three words a second; silence weighs like speech at a tenth of that.
_SECONDS_A_WORD = 3.0


def windows_of(seconds: float, length: float | None = None) -> NDArray[np.float64]:
    """Where the windows of a clip of this length lie: float64 (N, 2) seconds, without gap or overlap, N >= 1.

    length: seconds of a window, whose last one is no shorter than a third of that; None: the model's own windows.
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
    """Why features of this pipeline cannot be cut by time, or "".

    Rows that stand for a share of the clip (``align: {to: N}``) are too long for it, and token ids make sense only
    as a whole, with the special tokens at both ends. Rows on words can be cut: each was made of its word alone.
    """
    if spec.align not in (None, "words"):
        return "the tokens" if spec.align == "tokens" else f"{spec.align} steps"
    if any(use.name == "tokens" for use in spec.stages.get("text", ())):
        return "the tokens"
    return ""


def cut(features: Features, windows: NDArray[np.float64]) -> dict[int, dict[str, FeatureSequence]]:
    """The features of each window that holds a valid row, by the window's number, in order.

    windows: float64 (N, 2).   A row belongs to the window in which its middle lies, and one that is as long as a window
    (what was heard over ten seconds, say) to each window of which it covers half too; its times stay what they are.
    """
    belongs = {name: _belongs(part, windows) for name, part in features.items()}
    seen = [
        number for number in range(len(windows)) if any(belongs[n](number)[p.valid].any() for n, p in features.items())
    ]
    return {number: {name: _rows(part, belongs[name](number)) for name, part in features.items()} for number in seen}


def _belongs(part: FeatureSequence, windows: NDArray[np.float64]) -> Callable[[int], NDArray[np.bool_]]:
    """Asked for a window: which rows belong to it."""
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
    """How much each window counts in the score of the whole: float64 (N,).

    A window weighs by its words (valid rows of text) plus one for every three seconds: what is said counts most, one
    misheard word does not outweigh minutes, and of a clip in which nobody speaks the score is the mean over time.
    It is 0 where no modality but ``without`` has a valid row.
    """
    weights = np.zeros(len(clips))
    for number, (clip, (start, end)) in enumerate(zip(clips, windows, strict=True)):
        rows = {name: int(part.valid.sum()) for name, part in clip.items() if name != without}
        if any(rows.values()):
            weights[number] = rows.get("text", 0) + max(end - start, 1.0) / _SECONDS_A_WORD
    return weights


def mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean over the windows, (N, ...) to (...); of a single one exactly its value."""
    total: NDArray[np.float64] = np.tensordot(weights / weights.sum(), values, axes=1)
    return total


def _rows(part: FeatureSequence, which: NDArray[np.bool_]) -> FeatureSequence:
    return FeatureSequence(part.values[which], part.times[which], part.valid[which], part.names, part.channels)
