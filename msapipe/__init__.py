"""A raw video in, a sentiment score out.

>>> import msapipe
>>> with msapipe.load("pocket") as pipeline:
...     prediction = pipeline.predict("clip.mp4")
...     features = pipeline.features("clip.mp4")
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# onnxruntime reports its use to its maker as soon as it is imported, unless told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from msapipe.api import Pipeline, load
    from msapipe.errors import MsapipeError
    from msapipe.types import Clip, FeatureSequence, Prediction, Recording

# Modules of the public names. Each is imported on first use, so `import msapipe` stays cheap.
_WHERE = {
    "Clip": "msapipe.types",
    "FeatureSequence": "msapipe.types",
    "MsapipeError": "msapipe.errors",
    "Pipeline": "msapipe.api",
    "Prediction": "msapipe.types",
    "Recording": "msapipe.types",
    "load": "msapipe.api",
}

__all__ = ["Clip", "FeatureSequence", "MsapipeError", "Pipeline", "Prediction", "Recording", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'msapipe' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
