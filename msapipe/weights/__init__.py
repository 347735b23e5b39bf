"""Pretrained weights: sources, licences and local files.

Nothing is used before its hash is checked, and nothing is downloaded at import.
"""

from msapipe.weights._base import Weights
from msapipe.weights.folder import weights_folder
from msapipe.weights.installed import Bundled, InPackage
from msapipe.weights.kinds import Checkpoint, Download, Own, choose, from_torchvision
from msapipe.weights.licences import accept, accepted
from msapipe.weights.ready import make_ready
from msapipe.weights.wheels import WheelFile, Wheels

__all__ = [
    "Bundled",
    "Checkpoint",
    "Download",
    "InPackage",
    "Own",
    "Weights",
    "WheelFile",
    "Wheels",
    "accept",
    "accepted",
    "choose",
    "from_torchvision",
    "make_ready",
    "weights_folder",
]
