"""ONNX networks, run by onnxruntime on one CPU thread; it loads in a tenth of torch's time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msapipe.errors import WeightsError

if TYPE_CHECKING:
    import onnxruntime


def options() -> onnxruntime.SessionOptions:
    """One thread, so that results do not depend on the number of cores, and no log output."""
    import onnxruntime

    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = made.inter_op_num_threads = 1
    made.use_deterministic_compute = True
    made.log_severity_level = 3
    return made


def session(path: Path) -> Any:
    """A CPU session for a file whose hash was checked; raises WeightsError."""
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(path), options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base class
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} cannot be read as an ONNX model: {reason}; reinstall msapipe") from error
