"""Decode media files in a child process, so that a crash does not end the run."""

from msapipe.media.decoder import Decoder
from msapipe.media.options import Limits, MediaOptions
from msapipe.media.recorded import write_recording
from msapipe.media.regular import check_regular_file

__all__ = ["Decoder", "Limits", "MediaOptions", "check_regular_file", "write_recording"]
