"""Chooses the speaker in each frame from the speaking scores of the faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from msapipe.types import FaceTracks

Floats = NDArray[np.float32]
Tracks = NDArray[np.int64]
Flags = NDArray[np.bool_]

NOBODY = -1


def smoothed(faces: FaceTracks, score: Floats, window: float) -> Floats:
    """Moving average of a person's scores (M,) over ``window`` seconds."""
    starts = faces.times[faces.row, 0]
    out = np.empty(len(score), np.float32)
    for person in np.unique(faces.track):
        mine = np.flatnonzero(faces.track == person)
        out[mine] = averaged(score[mine], starts[mine], window)
    return out


def averaged(values: NDArray[np.floating], times: NDArray[np.float64], window: float) -> NDArray[np.float64]:
    """The moving average of the values (n,) over ``window`` seconds."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    begin = np.searchsorted(times, times - window / 2 - 1e-6)
    end = np.searchsorted(times, times + window / 2 + 1e-6, side="right")
    return np.asarray((sums[end] - sums[begin]) / (end - begin), np.float64)


def turns(faces: FaceTracks, score: Floats, margin: float) -> tuple[Tracks, Flags]:
    """The person with the highest score (M,) above 0 in each frame, or -1: int64 (T,), and where that is uncertain.

    A choice is uncertain, and becomes -1, if another score above 0 is less than ``margin`` lower.
    """
    rows = len(faces.times)
    order = np.lexsort((-score, faces.row))  # the faces of each frame, highest score first
    first = np.searchsorted(faces.row, np.arange(rows + 1))
    chosen, uncertain = np.full(rows, NOBODY, np.int64), np.zeros(rows, bool)
    for row in range(rows):
        here = score[order[first[row] : first[row + 1]]]
        if len(here) and here[0] > 0:
            uncertain[row] = len(here) > 1 and here[1] > 0 and here[0] - here[1] < margin
            chosen[row] = NOBODY if uncertain[row] else faces.track[order[first[row]]]
    return chosen, uncertain


def held(faces: FaceTracks, chosen: Tracks, uncertain: Flags) -> Tracks:
    """Fill gaps in ``chosen`` with the previous speaker, or else the next one, if in sight."""
    in_sight = set(zip(faces.row.tolist(), faces.track.tolist(), strict=True))
    spoken = np.flatnonzero(chosen != NOBODY)
    out = chosen.copy()
    for row in np.flatnonzero((chosen == NOBODY) & ~uncertain).tolist():
        after = int(np.searchsorted(spoken, row))
        for near in (after - 1, after):
            if 0 <= near < len(spoken) and (row, int(chosen[spoken[near]])) in in_sight:
                out[row] = chosen[spoken[near]]
                break
    return out


def largest(faces: FaceTracks) -> Tracks:
    """The person in each frame whose face, summed over the clip, is largest; -1 without a face: int64 (T,)."""
    chosen = np.full(len(faces.times), NOBODY, np.int64)
    area = (faces.boxes[:, 2:] - faces.boxes[:, :2]).clip(0).prod(1).astype(np.float64)
    total = np.bincount(faces.track, area)[faces.track] if len(area) else area
    order = np.lexsort((-faces.track, total))  # later entries overwrite: the larger; in a tie, the first to appear
    chosen[faces.row[order]] = faces.track[order]
    return chosen


def scores(faces: FaceTracks, chosen: Tracks, score: Floats) -> Floats:
    """The score of the chosen face in each frame, else the highest score, 0 without a face: (T,)."""
    best = np.full(len(faces.times), -np.inf, np.float32)
    np.maximum.at(best, faces.row, score)
    best[np.isneginf(best)] = 0
    mine = np.flatnonzero(chosen[faces.row] == faces.track)
    best[faces.row[mine]] = score[mine]
    return best
