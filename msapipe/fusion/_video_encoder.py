"""The visual branch of models that fine-tune a video network: a Video Swin Transformer on face crops.

The network is built from its sizes alone, and its weights are read when training begins (``load``), so a trained model
is rebuilt without the checkpoint. The sizes of ``KNOWN`` are in this file; those of any other checkpoint are the
parameter ``video_config`` (default: those of swin3d_t).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isqrt
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from msapipe.documents import read_json
from msapipe.errors import ConfigError, WeightsError
from msapipe.fusion._base import present
from msapipe.weights import Download, Weights, choose
from msapipe.weights.encoders import SWIN_BASE, SWIN_TINY
from msapipe.weights.torch_file import load_tensors

# Colour statistics of Kinetics-400, as in torchvision.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Frames, rows and columns per token.
PATCH = [2, 4, 4]


@dataclass(frozen=True)
class _Known:
    checkpoint: Download
    config: str


def _known(checkpoint: Download, **sizes: Any) -> _Known:
    return _Known(checkpoint, json.dumps({"window_size": [8, 7, 7], "stochastic_depth_prob": 0.1, **sizes}))


_TINY = _known(SWIN_TINY, embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24])
_BASE = _known(SWIN_BASE, embed_dim=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32])

KNOWN = {known.checkpoint.name: known for known in (_TINY, _BASE)}


class VideoEncoder(nn.Module):
    """Face crops (B, T, 3 S S) in [0, 1] to (B, ceil(T / 2), width): the last feature map, averaged over space.

    Rows equal those of the stage video_swin for up to 64 frames without a gap of a second; longer clips are processed
    whole too. Clips are processed one at a time: windows beyond a clip's end would attend to padding. A frame without a
    face is replaced by the nearest one with a face.

    what: the model's name for errors.
    """

    learning: ClassVar[tuple[str, ...]] = ("net.",)

    mean: Tensor
    std: Tensor

    def __init__(self, video_model: str, video_config: str, columns: int, what: str) -> None:
        super().__init__()
        from torchvision.models.video import SwinTransformer3d

        self._side = isqrt(columns // 3)
        if 3 * self._side**2 != columns or self._side < 32:
            raise ConfigError(
                f"{what}: video_model reads pictures, found vision of {columns} columns; "
                "extract the vision with the stage pixels"
            )
        self.named, self.what = video_model, what
        if not video_config:
            self._checkpoint()  # rejects an unknown name
        self.config = video_config or KNOWN.get(video_model, _TINY).config
        try:
            self.net: Any = SwinTransformer3d(PATCH, **read_json(self.config))
        except (TypeError, ValueError, LookupError) as error:
            raise ConfigError(f"{what}: video_config: no sizes of a Video Swin: {error}") from error
        self.net.head = nn.Identity()
        self.width: int = self.net.num_features
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def load(self) -> None:
        """Load the weights of the named checkpoint; raises MissingWeights if it is not on this machine."""
        if not self.named:
            return
        file = self._checkpoint().path()
        try:
            found: dict[str, Tensor] = load_tensors(file)
            self.net.load_state_dict({name: part for name, part in found.items() if not name.startswith("head.")})
        except (OSError, ValueError, RuntimeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise WeightsError(
                f"{self.what}: {file} does not fit the video network: {reason}; expected the state dict of "
                "torchvision's SwinTransformer3d, with the sizes of video_config"
            ) from error

    def forward(self, rows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, 3 S S), (B, T) to states and their mask; both are zero for a clip without a face."""
        odd = rows.shape[1] % 2
        seen = functional.pad(mask, (0, odd)).view(len(mask), -1, 2).any(dim=2)
        states = rows.new_zeros(*seen.shape, self.width)
        for clip in present(mask).nonzero()[:, 0].tolist():
            pairs = seen[clip].nonzero()[:, 0]
            first, last = int(pairs[0]), int(pairs[-1]) + 1
            shown = _nearest(torch.arange(2 * first, 2 * last, device=mask.device), mask[clip].nonzero()[:, 0])
            states[clip, first:last] = self._watched(rows[clip, shown])
        return states * seen.unsqueeze(-1), seen

    def _watched(self, pictures: Tensor) -> Tensor:
        """(T, 3 S S) to (T / 2, width)."""
        film = (pictures.view(-1, 3, self._side, self._side) - self.mean) / self.std
        grid = self.net.patch_embed(film.transpose(0, 1).unsqueeze(0))
        return self.net.norm(self.net.features(grid))[0].mean(dim=(1, 2))  # type: ignore[no-any-return]

    def _checkpoint(self) -> Weights:
        return choose([known.checkpoint for known in KNOWN.values()], self.named, self.what)


def _nearest(rows: Tensor, faces: Tensor) -> Tensor:
    """The nearest row with a face for each row, the earlier one in a tie: int64 (n,), (f,) to (n,)."""
    return faces[(rows.unsqueeze(1) - faces).abs().argmin(dim=1)]
