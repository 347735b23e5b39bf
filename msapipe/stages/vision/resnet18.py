"""Describes the speaker's face by the 512 numbers of a ResNet18 that was trained on facial expressions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, get_args

import numpy as np

from msapipe.errors import ConfigError
from msapipe.stages._base import CheckpointStage
from msapipe.stages.vision._crops import View, crops, on_the_clip
from msapipe.stages.vision._imagenet import normalised
from msapipe.stages.vision._resnet18 import load_body
from msapipe.types import FaceClip, FeatureSequence
from msapipe.weights import Download, Weights, from_torchvision

WIDTH = 512

# Pictures at a time, always as many, black ones added to the last: of other numbers of pictures a convolution is
# computed in another order, so that a face would move in its last digits with how many others the clip holds.
ON_CPU, ON_GPU = 4, 32

OBJECTS = (
    "resnet18 ran with ImageNet weights, which know objects and not facial expressions; "
    "libreface-affectnet8 and dan-affectnet8 were trained on expressions"
)

_LIBREFACE = "https://github.com/ihp-lab/LibreFace/raw/7bf7ed7360a01bb5523f4309e8beacb1b403ad2d"
_DRIVE = "https://drive.usercontent.google.com/download"


@dataclass
class Resnet18(CheckpointStage):
    """Facial expression, the pooled last layer of a ResNet18, one row per sampled picture: (T, 512).

    Columns resnet18_0 to resnet18_511: means of rectified activations, 0 or more, without a unit. A row is invalid
    where the speaker's face was not found. The same face gives the same numbers, bit for bit, however many others the
    clip holds.

    checkpoint: libreface-affectnet8 (Chang et al., 2024; research use only) and dan-affectnet8 (Wen et al., 2023) were
        trained on the eight expressions of AffectNet; imagenet knows objects and is the last resort, which the result
        notes. Or the user's own file: safetensors or a state dict, in the layout of torchvision, LibreFace or DAN.
    crop: aligned, by the five landmarks, as SMP (Zhu and Yu) has it, or loose, the box widened by 1.4.
    size: side of the crop in pixels, 32 to 512. The checkpoints were trained on 224; 112 takes a third of the time.

    He et al., "Deep Residual Learning for Image Recognition" (2016).
    """

    checkpoint: str = "libreface-affectnet8"
    crop: View = "aligned"
    size: int = 224

    version: ClassVar[int] = 1
    on_device: ClassVar[bool] = True
    weights: ClassVar[tuple[Weights, ...]] = (
        Download(
            name="libreface-affectnet8",
            url=f"{_LIBREFACE}/Facial_Expression_Recognition/checkpoints_fm_resnet/AffectNet/resnet.pt",
            file="resnet.pt",
            sha256="",
            bytes=None,
            licence="USC research licence: research only, non-commercial",
            source="https://github.com/ihp-lab/LibreFace",
            commercial=False,
        ),
        Download(
            name="dan-affectnet8",
            url=f"{_DRIVE}?id=1uHNADViICyJEjJljv747nfvrGu12kjtu&export=download&confirm=t",
            file="affecnet8_epoch6_acc0.6326.pth",
            sha256="",
            bytes=None,
            licence="MIT",
            source="https://github.com/yaoing/DAN",
        ),
        from_torchvision("imagenet", "resnet18-f37072fd.pth", "ImageNet-1k (IMAGENET1K_V1)"),
    )

    def __post_init__(self) -> None:
        if self.crop not in get_args(View):
            raise ConfigError(f"resnet18: crop must be one of {', '.join(get_args(View))}, got {self.crop!r}")
        if not 32 <= self.size <= 512:
            raise ConfigError(f"resnet18: size must lie in [32, 512] pixels, got {self.size}")

    def load(self, device: str) -> None:
        """Import torch and read the checkpoint."""
        import torch

        body = load_body(self.own_weights()[0].path())
        self._body: Any = body.to(device, memory_format=torch.channels_last)
        self._device = device
        self._count = ON_CPU if device == "cpu" else ON_GPU

    def run(self, face_clip: FaceClip) -> FeatureSequence:
        """Describe every row that has a face."""
        import torch

        parts = []
        with torch.inference_mode():
            for rows, pictures in crops(face_clip, self.crop, self.size, self._count):
                filled = np.zeros((self._count, *pictures.shape[1:]), np.uint8)
                filled[: len(rows)] = pictures
                found = self._body(torch.from_numpy(normalised(filled)).to(self._device))
                parts.append((rows, found[: len(rows)].cpu().numpy()))
        out = on_the_clip(face_clip, parts, tuple(f"resnet18_{i}" for i in range(WIDTH)))
        return replace(out, notes=(OBJECTS,)) if self.checkpoint == "imagenet" else out
