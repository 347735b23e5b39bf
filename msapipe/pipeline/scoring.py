"""Score clips that were run: check a model, put predictions into outcomes, and tell a clip's results as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from msapipe.errors import ConfigError, MsapipeError
from msapipe.pipeline.predict import Model
from msapipe.pipeline.run import Outcome, Runner
from msapipe.pipeline.spec import PipelineSpec
from msapipe.types import Prediction


def model_of(
    name: str | None, spec: PipelineSpec, without: list[str], allow_mismatch: bool, window: float | None = None
) -> tuple[Model, PipelineSpec]:
    """The model, checked against the whole pipeline, and the pipeline without ``without``.   window: see Model."""
    name = name or spec.model
    if name is None:
        raise ConfigError(f"pipeline {spec.name} names no model; give one with --model (msapipe list models)")
    reduced = spec.without(without) if without else spec
    model = Model(name, spec, allow_mismatch, window)
    if without and not set(model.card.dims) & set(reduced.modalities):
        raise ConfigError(f"--without {', '.join(without)}: model {name} reads only {', '.join(model.card.dims)}")
    return model, reduced


def scored(outcomes: Iterable[Outcome], model: Model, runner: Runner) -> Iterator[Outcome]:
    """Outcomes with their prediction in ``values``; a clip that cannot be scored becomes an error."""
    switched_off = set(model.spec.modalities) - set(runner.spec.modalities)
    for outcome in outcomes:
        if outcome.status != "error":
            begun, loaded = time.perf_counter(), model.loading
            try:
                # Outcomes from a worker carry no features; the cache does.
                whole = outcome if outcome.features else runner.run(outcome.clip)
                outcome.notes += tuple(f"{name} was switched off" for name in sorted(switched_off))
                whole.notes = outcome.notes
                outcome.values = {**whole.values, "prediction": model.predict(whole, runner.store)}
            except MsapipeError as error:
                outcome.status, outcome.error = "error", str(error)
            spent, loading = time.perf_counter() - begun, model.loading - loaded
            if loading > 0:
                outcome.timings["loading"] = outcome.timings.get("loading", 0.0) + loading
            outcome.timings["fusion"] = spent - loading
            outcome.seconds += spent
        yield outcome


def as_object(outcome: Outcome, found: Prediction | None) -> dict[str, Any]:
    """All results of a clip as plain values, as `predict --json` and the server give them; the names are stable."""
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
