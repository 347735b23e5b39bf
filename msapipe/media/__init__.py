"""Media files, decoded in a child process that may die without taking the run with it."""

from msapipe.media.decoder import Decoder
from msapipe.media.options import Limits, MediaOptions
from msapipe.media.recorded import write_recording
from msapipe.media.regular import check_regular_file

__all__ = ["Decoder", "Limits", "MediaOptions", "check_regular_file", "write_recording"]
