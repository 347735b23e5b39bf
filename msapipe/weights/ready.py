"""Before a stage loads: ensure that its weights are present and permitted, or say what to type."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from msapipe.errors import MissingWeights
from msapipe.weights._base import Weights
from msapipe.weights.kinds import Checkpoint, Download, fetch_command, get_command
from msapipe.weights.licences import accepted

# If another stage replaces one whose weights are missing, not every clip should wait for the network.
_SECONDS_BETWEEN_TRIES = 300.0
_failed: dict[Path, tuple[float, str]] = {}


def make_ready(weights: Weights, accepts: Iterable[str] = (), offline: bool = False) -> None:
    """Check the licence, and download missing weights unless ``offline``; raises MissingWeights.

    accepts: names of weights whose licence the pipeline accepts, in addition to those accepted on this machine.
    """
    check_licence(weights, accepts)
    if weights.here() or not isinstance(weights, Download | Checkpoint):
        return
    if offline:
        raise MissingWeights(
            f"{weights.name} is not on this machine, and --offline is set; type: {get_command(weights)}"
        )
    when, why = _failed.get(weights.folder, (0.0, ""))
    if why and time.monotonic() - when < _SECONDS_BETWEEN_TRIES:
        raise MissingWeights(why)
    from msapipe.weights.fetch import fetch

    try:
        fetch(weights)
    except MissingWeights as error:
        _failed[weights.folder] = (time.monotonic(), str(error))
        raise


def check_licence(weights: Weights, accepts: Iterable[str] = ()) -> None:
    """Raise MissingWeights unless the weights are free for any use, or their licence was accepted."""
    if weights.commercial or weights.name in {*accepts, *accepted()}:
        return
    raise MissingWeights(
        f"{weights.name} may not be used for every purpose: {weights.licence} ({weights.source}). If your use is "
        f"allowed, type once: {fetch_command(weights)}; "
        f"or write accept_licences: [{weights.name}] into the pipeline"
    )
