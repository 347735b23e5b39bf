"""Takes the largest face for the speaker, with hysteresis, so that it does not jump between two faces."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from msapipe.stages._base import Stage
from msapipe.stages.speaker._turns import averaged
from msapipe.types import FaceTracks, Speaker

Floats = NDArray[np.float64]


@dataclass
class Largest(Stage):
    """The largest face of each sampled frame, as Speaker: track (T,), score (T,).

    The size of a face is the square root of its box's area; score is that size, averaged over ``smooth`` seconds,
    as a share of the frame's shorter side (0 if nobody is chosen; seldom above 1).

    The chosen person stays chosen while in sight, and for ``patience`` seconds out of sight if the person returns
    (nobody is chosen meanwhile), unless another face becomes larger by ``margin``. Among faces whose sizes differ by
    less than that, the one with the greater total (box area x face probability, summed over the clip) is taken, then
    the one that appeared first. Lips and voices are not considered: a listener in front of the camera is taken for the
    speaker. A cut makes new persons (see the faces stage), so the choice starts anew in each shot.

    The usual rule of feature extractors for a single visible face, e.g. OpenFace 2.0 (Baltrusaitis et al., 2018).

    margin: by how much larger, as a fraction, another face must be to take over.
    smooth: seconds over which sizes are averaged.   patience: seconds.
    """

    margin: float = 0.25
    smooth: float = 1.0
    patience: float = 0.5

    def __post_init__(self) -> None:
        for name, value in (("margin", self.margin), ("smooth", self.smooth), ("patience", self.patience)):
            self.require(isfinite(value) and value >= 0, f"{name} must be a number, 0 or more, got {value}")

    def run(self, faces: FaceTracks) -> Speaker:
        """Choose a track, or -1, for every sampled frame."""
        starts = faces.times[:, 0]
        size, total, seen = self._measured(faces)
        first = np.searchsorted(faces.row, np.arange(len(starts) + 1))
        chosen, score = np.full(len(starts), -1, np.int64), np.zeros(len(starts), np.float32)
        now, last_seen = -1, 0.0
        for row, time in enumerate(starts):
            here = {int(faces.track[m]): float(size[m]) for m in range(first[row], first[row + 1])}
            if now not in here and now >= 0:
                later = bisect_right(seen[now], time)
                if later == len(seen[now]) or seen[now][later] - last_seen > self.patience + 1e-6:
                    now = -1
            now = self._choose(now, here, total)
            if now in here:
                chosen[row], score[row], last_seen = now, here[now] / max(1, min(faces.frame_size)), time
        return Speaker(chosen, score)

    def _choose(self, now: int, here: dict[int, float], total: dict[int, float]) -> int:
        """The person to choose, given the current one (or -1) and the size of each person in the frame."""
        if not here:
            return now
        most = max(here.values())
        if now >= 0 and here.get(now, most) * (1 + self.margin) >= most:
            return now
        large = (person for person, size in here.items() if size * (1 + self.margin) >= most)
        return min(large, key=lambda person: (-total[person], person))

    def _measured(self, faces: FaceTracks) -> tuple[Floats, dict[int, float], dict[int, list[float]]]:
        """Smoothed size of each face (M,); per person the total of area x score, and the times in sight."""
        area = (faces.boxes[:, 2:] - faces.boxes[:, :2]).clip(0).prod(1).astype(np.float64)
        size = np.sqrt(area)
        total: dict[int, float] = {}
        seen: dict[int, list[float]] = {}
        order = np.argsort(faces.track, kind="stable")
        people, begins = np.unique(faces.track[order], return_index=True)
        ends = np.append(begins, len(order))[1:]
        for person, begin, end in zip(people.tolist(), begins, ends, strict=True):
            mine = order[begin:end]
            times = faces.times[faces.row[mine], 0]
            total[person] = float((area[mine] * faces.score[mine]).sum())
            seen[person] = times.tolist()
            size[mine] = averaged(size[mine], times, self.smooth)
        return size, total, seen
