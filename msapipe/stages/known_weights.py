"""Pretrained weights known to the stages."""

from __future__ import annotations

import logging

from msapipe.errors import ConfigError
from msapipe.stages import STAGES
from msapipe.weights import Weights

log = logging.getLogger("msapipe")

# Weights to the stages that use them, as "slot/name".
Readers = dict[Weights, list[str]]


def every_weights() -> Readers:
    """All weights known to a stage, in the order of the slots. A broken plug-in is reported and skipped."""
    found: Readers = {}
    for slot, registry in STAGES.items():
        for name in registry.where():
            try:
                stage = registry.get(name)
            except (ImportError, ConfigError) as error:
                log.warning("%s/%s cannot be loaded: %s", slot, name, error)
                continue
            for weights in stage.weights:
                found.setdefault(weights, []).append(f"{slot}/{name}")
    return found
