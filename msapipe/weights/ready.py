"""Before a stage loads: its weights are here and may be used, or one sentence says what to type."""

from __future__ import annotations

from collections.abc import Iterable

from msapipe.errors import MissingWeights
from msapipe.weights.kinds import Checkpoint, Download, Weights
from msapipe.weights.licences import accepted


def make_ready(weights: Weights, accepts: Iterable[str] = (), offline: bool = False) -> None:
    """Check the licence, and download what is not here unless ``offline``; raises MissingWeights.

    accepts: names of weights whose licence the recipe accepts, beside what was accepted on this machine.
    """
    check_licence(weights, accepts)
    if weights.here() or not isinstance(weights, Download | Checkpoint):
        return
    command = f"msapipe weights fetch {weights.name}"
    if offline:
        raise MissingWeights(f"{weights.name} is not on this machine, and --offline is set; type: {command}")
    from msapipe.weights.fetch import fetch

    fetch(weights)


def check_licence(weights: Weights, accepts: Iterable[str] = ()) -> None:
    """Raise MissingWeights unless these weights may be used for anything, or their licence was accepted."""
    if weights.commercial or weights.name in {*accepts, *accepted()}:
        return
    raise MissingWeights(
        f"{weights.name} may not be used for every purpose: {weights.licence} ({weights.source}). If your use is "
        f"allowed, type once: msapipe weights fetch {weights.name} --accept-licence {weights.name}; "
        f"or write accept_licences: [{weights.name}] into the recipe"
    )
