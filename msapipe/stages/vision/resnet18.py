"""Describes the speaker's face by the 512 features of a ResNet18 trained on facial expressions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, get_args

from msapipe.stages._base import NeuralStage
from msapipe.stages.vision._crops import View, crops, on_the_clip
from msapipe.stages.vision._resnet18 import Body, load_body
from msapipe.types import FaceClip, FeatureSequence
from msapipe.weights import Download, Weights, from_torchvision

WIDTH = 512

OBJECTS = (
    "resnet18 ran with ImageNet weights, which know objects and not facial expressions; "
    "libreface-affectnet8 and dan-affectnet8 were trained on expressions"
)

_LIBREFACE = "https://github.com/ihp-lab/LibreFace/raw/7bf7ed7360a01bb5523f4309e8beacb1b403ad2d"
_DRIVE = "https://drive.usercontent.google.com/download"


@dataclass
class Resnet18(NeuralStage):
    """Facial expression, the pooled last layer of a ResNet18, one row per sampled frame: (T, 512).

    Columns resnet18_0 to resnet18_511: mean ReLU activations, 0 or more, without a unit. A row is invalid if the
    speaker's face was not found. Results are bit-identical however many other faces the clip holds.

    checkpoint: libreface-affectnet8 (Chang et al., 2024; research use only) and dan-affectnet8 (Wen et al., 2023) were
        trained on the eight expressions of AffectNet; imagenet was trained on objects and is a last resort, with a note
        in the result. Or your own file: safetensors or a state dict, in the layout of torchvision, LibreFace or DAN.
    crop: aligned, by the five landmarks, as in SMP (Zhu and Yu), or loose, the box widened by 1.4.
    size: side of the crop in pixels, 32 to 512. The checkpoints were trained on 224; 112 takes a third of the time.
    dtype: bfloat16 takes a third of the time on a CPU with AMX; features differ by at most 1 % (norm of the difference
        over norm, random weights: 0.3 %).

    He et al., "Deep Residual Learning for Image Recognition" (2016).
    """

    checkpoint: str = "libreface-affectnet8"
    crop: View = "aligned"
    size: int = 224

    on_device: ClassVar[bool] = True
    weights: ClassVar[tuple[Weights, ...]] = (
        Download(
            name="libreface-affectnet8",
            url=f"{_LIBREFACE}/Facial_Expression_Recognition/checkpoints_fm_resnet/AffectNet/resnet.pt",
            file="resnet.pt",
            sha256="",
            licence="USC research licence: research only, non-commercial",
            source="https://github.com/ihp-lab/LibreFace",
            commercial=False,
        ),
        Download(
            name="dan-affectnet8",
            url=f"{_DRIVE}?id=1uHNADViICyJEjJljv747nfvrGu12kjtu&export=download&confirm=t",
            file="affecnet8_epoch6_acc0.6326.pth",
            sha256="",
            licence="MIT",
            source="https://github.com/yaoing/DAN",
        ),
        from_torchvision("imagenet", "resnet18-f37072fd.pth", "ImageNet-1k (IMAGENET1K_V1)"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.crop in get_args(View), f"crop must be one of {', '.join(get_args(View))}, got {self.crop!r}")
        self.require(32 <= self.size <= 512, f"size must lie in [32, 512] pixels, got {self.size}")

    def load(self, device: str) -> None:
        """Import torch and read the checkpoint."""
        self._body = Body(load_body(self.own_weights()[0].path()), device, self.dtype)

    def run(self, face_clip: FaceClip) -> FeatureSequence:
        """Process every row with a face."""
        cut = crops(face_clip, self.crop, self.size, self._body.many)
        parts = [(rows, self._body(pictures).cpu().numpy()) for rows, pictures in cut]
        out = on_the_clip(face_clip, parts, tuple(f"resnet18_{i}" for i in range(WIDTH)))
        return replace(out, notes=(OBJECTS,)) if self.checkpoint == "imagenet" else out
