"""What a fusion model says about a clip."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contribution:
    """One modality's part in a score.

    coverage: share of valid steps, in [0, 1].
    missing: no valid step at all.
    score: what this modality says by itself, None when missing or when the model has no such head.
    score_without: the clip's score with this modality switched off; None when nothing else is left.
    """

    coverage: float
    missing: bool
    score: float | None
    score_without: float | None


@dataclass(frozen=True)
class Window:
    """One stretch of a long clip: start and end in seconds from the clip's start, and what was found there.

    score, label, interval: as in Prediction.   missing: the modalities of which nothing was seen in it.
    """

    start: float
    end: float
    score: float
    label: str
    interval: tuple[float, float] | None = None
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a window needs 0 <= start < end, got start {self.start}, end {self.end}")


@dataclass(frozen=True)
class Prediction:
    """The sentiment of a clip.

    score: on ``scale`` (low, high); polarity: the same on [-1, 1]; label: its name in the model's card, or "unclear"
    where the interval holds both signs beyond what counts as neutral.
    modalities: name ("text", "audio", "vision") to contribution.
    notes: what a user should know: first of the clip and its features, then of the model.
    interval: bounds between which the label that people would give lies nine times in ten, None where the model cannot
    say; within the scale.
    timeline: of a long clip, its windows in order, without those in which there was nothing to score; () for a clip
    that was scored at once.
    keys: cache key of the features of each modality that the score was made from.
    """

    score: float
    scale: tuple[float, float]
    polarity: float
    label: str
    model: str
    modalities: dict[str, Contribution]
    notes: tuple[str, ...] = ()
    keys: dict[str, str] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    timeline: tuple[Window, ...] = ()

    def __post_init__(self) -> None:
        low, high = self.scale
        if not low <= self.score <= high:
            raise ValueError(f"score {self.score} lies outside [{low}, {high}]")
        if self.interval is not None and not low <= self.interval[0] <= self.interval[1] <= high:
            raise ValueError(f"interval {self.interval} is no interval in [{low}, {high}]")

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the modalities of which nothing was seen."""
        return tuple(name for name, part in self.modalities.items() if part.missing)
