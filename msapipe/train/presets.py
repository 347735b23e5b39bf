"""Settings that a source gives for a corpus, as assignments that go before the user's own."""

from __future__ import annotations

import json

from msapipe.errors import UnknownName
from msapipe.fusion._base import FusionModel
from msapipe.registry import did_you_mean


def assignments(cls: type[FusionModel], model: str, corpus: str) -> list[str]:
    """What ``--preset`` stands for, as ``--set`` takes it. Raises UnknownName where the model has none such."""
    if corpus not in cls.presets:
        raise UnknownName(f"--preset {corpus}: {model} has no such preset{did_you_mean(corpus, cls.presets)}")
    # JSON is read back as YAML, which --set is, and keeps "1" apart from 1.
    return [f"{name}={json.dumps(value)}" for name, value in cls.presets[corpus].values.items()]
