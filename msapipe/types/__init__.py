"""Value types passed between components; each validates itself on creation and prints its shape.

Times are seconds from the start of the clip, in float64, as half-open intervals [start, end).
"""

from msapipe.types.clip import Clip, Failure, MediaInfo, Summary
from msapipe.types.faces import EncodedImages, FaceClip, FaceTracks, Speaker
from msapipe.types.features import FeatureSequence
from msapipe.types.media import FrameBatch, Frames, Waveform
from msapipe.types.prediction import Contribution, Prediction, Window
from msapipe.types.recording import Recording
from msapipe.types.sample import Sample
from msapipe.types.words import CaptionTrack, PassedOver, Transcript, Word

__all__ = [
    "CaptionTrack",
    "Clip",
    "Contribution",
    "EncodedImages",
    "FaceClip",
    "FaceTracks",
    "Failure",
    "FeatureSequence",
    "FrameBatch",
    "Frames",
    "MediaInfo",
    "PassedOver",
    "Prediction",
    "Recording",
    "Sample",
    "Speaker",
    "Summary",
    "Transcript",
    "Waveform",
    "Window",
    "Word",
]
