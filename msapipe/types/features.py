"""Features over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from msapipe.types._check import array, intervals


@dataclass(frozen=True, eq=False)
class FeatureSequence:
    """One row of numbers per stretch of time.

    values: float32 (T, D), always finite.
    times: float64 (T, 2), [start, end) seconds from the clip's start.
    valid: bool (T,), False where nothing was seen (no face, silence); such rows are zero, never dropped.
    names: one per column, or ().
    notes: what a user should know of how they were made.
    channels: where each stage's columns lie, {"resnet18": (0, 512), "au": (512, 546)}; {} for a single stage.
    """

    values: NDArray[np.float32]
    times: NDArray[np.float64]
    valid: NDArray[np.bool_]
    names: tuple[str, ...] = ()
    channels: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = len(self.values)
        array("values", self.values, "float32", (None, None))
        intervals("times", self.times, rows)
        array("valid", self.valid, "bool", (rows,))
        if not np.isfinite(self.values).all():
            raise ValueError("values hold NaN or infinity; mark such rows invalid and zero them")
        if self.values[~self.valid].any():
            raise ValueError("invalid rows must be zero")
        if self.names and len(self.names) != self.values.shape[1]:
            raise ValueError(f"{len(self.names)} names for {self.values.shape[1]} columns")

    @classmethod
    def masked(
        cls,
        values: NDArray[np.float32],
        times: NDArray[np.float64],
        valid: NDArray[np.bool_],
        names: tuple[str, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> FeatureSequence:
        """Build a sequence from rows of which the invalid ones hold anything: they are zeroed."""
        return cls(np.where(valid[:, None], values, np.float32(0)).astype(np.float32), times, valid, names, notes=notes)

    @property
    def coverage(self) -> float:
        """Share of valid steps, in [0, 1]; 0 for an empty sequence."""
        return float(self.valid.mean()) if len(self.valid) else 0.0

    def __repr__(self) -> str:
        span = f"{self.times[0, 0]:.2f}-{self.times[-1, 1]:.2f}s" if len(self.values) else "empty"
        return f"FeatureSequence{self.values.shape} {span}, {self.coverage:.0%} valid"
