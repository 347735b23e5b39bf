"""The prediction of a fusion model for a clip."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from msapipe.types.words import Transcript


@dataclass(frozen=True)
class Contribution:
    """The contribution of one modality to a score.

    coverage: share of valid steps, in [0, 1].
    missing: no valid step at all.
    score: the score from this modality alone; None if it is missing or the model has no such head.
    score_without: the clip's score without this modality; None if no other modality is left.
    """

    coverage: float
    missing: bool
    score: float | None
    score_without: float | None


@dataclass(frozen=True)
class Window:
    """One window of a long clip: start and end in seconds from the clip's start, and its prediction.

    score, label, interval: as in Prediction.   missing: the modalities without a valid step in this window.
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

    score: on ``scale`` (low, high); polarity: the same on [-1, 1]; label: its name in the model card, or "unclear" if
    the interval covers both signs beyond the neutral range.
    modalities: name ("text", "audio", "vision") to contribution.
    notes: remarks for the user, first on the clip and its features, then on the model.
    interval: 90% prediction interval of the human label, within the scale; None if the model gives none.
    timeline: the windows of a long clip in order, without windows that have nothing to score; () if the clip was scored
    as a whole.
    keys: cache key of the features of each modality that went into the score.
    transcript: the words of the clip; None if the pipeline makes none or found no source.
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
    transcript: Transcript | None = None

    def __post_init__(self) -> None:
        low, high = self.scale
        if not low <= self.score <= high:
            raise ValueError(f"score {self.score} lies outside [{low}, {high}]")
        if self.interval is not None and not low <= self.interval[0] <= self.interval[1] <= high:
            raise ValueError(f"interval {self.interval} is no interval in [{low}, {high}]")

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the modalities without a valid step."""
        return tuple(name for name, part in self.modalities.items() if part.missing)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values; scores have four digits. Names stay the same across versions."""
        words = self.transcript
        return {
            "score": round(self.score, 4),
            "scale": list(self.scale),
            "interval": _rounded(self.interval),
            "polarity": round(self.polarity, 4),
            "label": self.label,
            "model": self.model,
            "modalities": {name: asdict(part) for name, part in self.modalities.items()},
            "missing": list(self.missing),
            "transcript": {
                "text": words.text if words else "",
                "source": words.source if words else "none",
                "language": words.language if words else None,
            },
            "timeline": [
                {**asdict(window), "score": round(window.score, 4), "interval": _rounded(window.interval)}
                for window in self.timeline
            ],
            "notes": list(self.notes),
            "keys": dict(self.keys),
        }

    def __repr__(self) -> str:
        sure = "" if self.interval is None else f" [{self.interval[0]:+.1f}, {self.interval[1]:+.1f}]"
        parts = [f"{name} {_told(part)}" for name, part in self.modalities.items()]
        windows = f", {len(self.timeline)} windows" if self.timeline else ""
        low, high = self.scale
        of = f"on [{low:+g}, {high:+g}], model {self.model}; {', '.join(parts)}{windows}"
        return f"Prediction({self.score:+.2f}{sure} {self.label} {of})"


def _told(part: Contribution) -> str:
    if part.missing:
        return "missing"
    return f"{part.coverage:.0%}" if part.score is None else f"{part.score:+.2f}"


def _rounded(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else [round(bound, 4) for bound in interval]
