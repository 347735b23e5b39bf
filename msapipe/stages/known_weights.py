"""Which pretrained weights the stages know of."""

from __future__ import annotations

import logging

from msapipe.errors import ConfigError
from msapipe.stages import STAGES
from msapipe.weights import Weights

log = logging.getLogger("msapipe")

# Weights to the stages that read them, as "slot/name".
Readers = dict[Weights, list[str]]


def every_weights() -> Readers:
    """All weights that a stage knows of, in the order of the slots. A plug-in that is broken is named and left."""
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
