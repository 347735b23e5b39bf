"""What was found of a clip as one object of JSON: printed by `predict --json`, answered by the server."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from msapipe.pipeline.run import Outcome
from msapipe.types import Prediction


def as_object(outcome: Outcome, found: Prediction | None) -> dict[str, Any]:
    """All that was found of a clip, as plain values; its names are kept from version to version."""
    head: dict[str, Any] = {"clip_id": outcome.clip.id, "file": str(outcome.clip.path), "status": outcome.status}
    if found is None:
        return {**head, "score": None, "error": outcome.error, "notes": list(outcome.notes)}
    words = outcome.values.get("transcript")
    return {
        **head,
        "score": round(found.score, 4),
        "scale": list(found.scale),
        "interval": _rounded(found.interval),
        "polarity": round(found.polarity, 4),
        "label": found.label,
        "model": found.model,
        "modalities": {name: asdict(part) for name, part in found.modalities.items()},
        "missing": list(found.missing),
        "transcript": {
            "text": words.text if words else "",
            "source": words.source if words else "none",
            "language": words.language if words else None,
        },
        "timeline": [
            {**asdict(window), "score": round(window.score, 4), "interval": _rounded(window.interval)}
            for window in found.timeline
        ],
        "notes": list(dict.fromkeys((*outcome.notes, *found.notes))),
        "seconds": round(outcome.seconds, 3),
        "timings": {name: round(seconds, 3) for name, seconds in outcome.timings.items()},
    }


def _rounded(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else [round(bound, 4) for bound in interval]
