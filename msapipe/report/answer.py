"""The results of a clip as one JSON object: printed by `predict --json`, answered by the server."""

from __future__ import annotations

from typing import Any

from msapipe.pipeline.run import Outcome
from msapipe.types import Prediction


def as_object(outcome: Outcome, found: Prediction | None) -> dict[str, Any]:
    """All results of a clip as plain values; field names are stable across versions."""
    head: dict[str, Any] = {"clip_id": outcome.clip.id, "file": str(outcome.clip.path), "status": outcome.status}
    if found is None:
        return {**head, "score": None, "error": outcome.error, "notes": list(outcome.notes)}
    return {
        **head,
        **found.to_dict(),
        "notes": list(dict.fromkeys((*outcome.notes, *found.notes))),
        "seconds": round(outcome.seconds, 3),
        "timings": {name: round(seconds, 3) for name, seconds in outcome.timings.items()},
    }
