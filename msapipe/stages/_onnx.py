"""Nets in ONNX files, run by onnxruntime on one thread of the CPU: it is loaded in a tenth of the time of torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msapipe.errors import WeightsError

if TYPE_CHECKING:
    import onnxruntime


def options() -> onnxruntime.SessionOptions:
    """One thread, so that no number depends on how many cores a machine has, and no talk."""
    import onnxruntime

    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = made.inter_op_num_threads = 1
    made.use_deterministic_compute = True
    made.log_severity_level = 3
    return made


def session(path: Path) -> Any:
    """The net of a file, whose hash was checked, for use on the CPU; raises WeightsError."""
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(path), options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors derive from nothing
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} cannot be read as an ONNX model: {reason}; reinstall msapipe") from error
