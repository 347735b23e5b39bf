"""The messages to and from other processes that run clips: plain values, fit for JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from msapipe.cache import open_store
from msapipe.errors import EndsRun
from msapipe.media import Limits
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.pipeline.spec import PipelineSpec, parse_spec
from msapipe.types import Clip

_ANSWERED = ("status", "computed", "error", "missing", "coverage", "notes", "seconds", "timings", "keys")


def start_message(spec: PipelineSpec, cache: str, options: Options) -> dict[str, Any]:
    """Everything a process needs before its first clip.   cache: its address."""
    return {
        "pipeline": {
            **{"text": spec.text, "name": spec.name, "source": str(spec.source or "")},
            **{"places": spec.places, "align": spec.align},
        },
        "cache": cache,
        "options": asdict(options),
    }


def runner_of(start: dict[str, Any]) -> Runner:
    """The runner that a start message describes. Raises ConfigError as reading a pipeline does."""
    said = start["pipeline"]
    spec = parse_spec(said["text"], said["name"], Path(said["source"]) if said["source"] else None)
    options = dict(start["options"])
    limits = options.pop("limits")
    return Runner(
        spec.keeping(said["places"], said["align"]),
        open_store(start["cache"]),
        Options(**options, limits=Limits(**limits) if limits else None),
    )


def clip_message(clip: Clip) -> dict[str, Any]:
    """A clip as plain values."""
    return {**asdict(clip), "path": str(clip.path)}


def answer(runner: Runner, clip: dict[str, Any]) -> dict[str, Any]:
    """Run the clip of a message; returns its outcome without features, or why the run must end."""
    asked = Clip(**{**clip, "path": Path(clip["path"])})
    try:
        outcome = runner.stored(asked, "notes") or runner.run(asked)
    except EndsRun as error:
        return ended(error)
    return {name: getattr(outcome, name) for name in _ANSWERED}


def ended(error: EndsRun) -> dict[str, Any]:
    """The answer that ends the run."""
    return {"ended": [type(error).__name__, str(error)]}


def outcome_of(clip: Clip, answered: dict[str, Any]) -> Outcome:
    """The outcome that an answer describes. Raises EndsRun if the runner did."""
    if "ended" in answered:
        kind, message = answered["ended"]
        raise {known.__name__: known for known in EndsRun.__subclasses__()}[kind](message)
    lists = {name: tuple(answered[name]) for name in ("missing", "notes")}
    return Outcome(clip, **{**answered, **lists})
