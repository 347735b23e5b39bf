"""Describes the motion of the speaker's face by a Video Swin Transformer trained on Kinetics-400 (GPU or CPU)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import ConfigError
from msapipe.stages._base import NeuralStage
from msapipe.stages.vision._crops import sampled
from msapipe.stages.vision._swin import SwinFeatures
from msapipe.stages.vision._swin_file import load_model
from msapipe.types import FaceClip, FeatureSequence
from msapipe.weights import Weights, from_torchvision
from msapipe.weights.encoders import SWIN_BASE, SWIN_TINY

Ints = NDArray[np.int64]

# Frames per attention window of the published networks: 8 tokens of 2. Tiles with other starts would place windows
# differently from the whole clip, and their rows would deviate much more.
STEP = 16


@dataclass
class VideoSwin(NeuralStage):
    """Motion features of the speaker's face: (T, 768), with swin3d_b (T, 1024), T half the number of frames.

    Columns video_swin_0...: the last feature map before the head, layer-normalised, averaged over space; no unit,
    mostly in -5...5. One row per two frames; with an odd number, the last frame is repeated. As in BoostingMSA (Hai et
    al., 2023), the input is loose crops of 128 x 128 pixels, ten a second.
    Network: Liu et al., "Video Swin Transformer" (2022).

    Frames: the first one of each 1 / fps seconds, so a clip decoded at a higher rate gives the same as one decoded at
    ``fps``; a slower clip is used whole, with a note. times: from the start of a row's first frame to the start of the
    frame after its second.

    Faces: a row is valid if one of its two frames has a face. The nearest frame with a face replaces one without:
    a still face disturbs its neighbours less than a black frame. Faces more than ``longest_gap`` seconds apart are
    processed as separate clips, and nothing is computed in between.

    Tiles: at most ``window`` frames are processed at once; the next tile begins ``overlap`` before the end of the last
    one, and each tile gives the rows up to the middle of the overlap. Tiles begin at attention windows of the whole
    clip. Up to ``window`` frames the result is that of the whole clip; beyond, rows differ from it by 0.1 to 1.5 % on
    average, 0.8 to 6 % next to a seam (norms, random weights of several strengths).

    checkpoint: swin3d_t, swin3d_s, swin3d_b (Kinetics-400), swin3d_b_22k (pretrained on ImageNet-22k), or your own:
        a state dict of torchvision's SwinTransformer3d of any size.
    size: side of the crop in pixels, 32 to 512.   fps: frames per second.
    window, overlap: frames, multiples of 16.   longest_gap: seconds.
    dtype: bfloat16 takes less than half the time on a CPU with AMX; features differ by at most 1 % (norm of the
        difference over norm, random weights: 0.8 %).
    """

    checkpoint: str = "swin3d_t"
    size: int = 128
    fps: float = 10.0
    window: int = 64
    overlap: int = 16
    longest_gap: float = 1.0

    on_device: ClassVar[bool] = True
    weights: ClassVar[tuple[Weights, ...]] = (
        SWIN_TINY,
        from_torchvision("swin3d_s", "swin3d_s-da41c237.pth", "Kinetics-400"),
        SWIN_BASE,
        from_torchvision("swin3d_b_22k", "swin3d_b_22k-7c6ae6fa.pth", "ImageNet-22k, then Kinetics-400"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 32 <= self.size <= 512:
            raise ConfigError(f"video_swin: size must lie in [32, 512] pixels, got {self.size}")
        if not (isfinite(self.fps) and self.fps > 0):
            raise ConfigError(f"video_swin: fps must be pictures a second, more than 0, got {self.fps}")
        if self.window % STEP or self.overlap % STEP or not 0 <= self.overlap < self.window:
            raise ConfigError(
                f"video_swin: window and overlap must be multiples of {STEP} pictures, the overlap smaller, "
                f"got {self.window} and {self.overlap}"
            )
        if not (isfinite(self.longest_gap) and self.longest_gap >= 0):
            raise ConfigError(f"video_swin: longest_gap must be seconds, 0 or more, got {self.longest_gap}")

    def load(self, device: str) -> None:
        """Import torch and read the checkpoint."""
        self._net = SwinFeatures(load_model(self.own_weights()[0].path()).to(device), self.dtype)
        self._names = tuple(f"video_swin_{i}" for i in range(self._net.width))

    def run(self, face_clip: FaceClip) -> FeatureSequence:
        """Compute one row per two frames."""
        pictures, ends = sampled(face_clip.times, self.fps)
        pairs = _pairs(pictures)
        times = np.stack([face_clip.times[pairs[:, 0], 0], _pairs(ends)[:, 1]], axis=1)
        valid = face_clip.valid[pairs].any(1)
        values = np.zeros((len(pairs), self._net.width), np.float32)
        shown = _nearest_with_a_face(pairs.ravel(), face_clip.valid)
        for first, last in stretches(times, valid, self.longest_gap):
            for tile, rows in tiles(last - first, self.window // 2, self.overlap // 2):
                seen = shown[2 * (first + tile.start) : 2 * (first + tile.stop)]
                found = self._net(np.stack([face_clip.loose(int(row), self.size) for row in seen]))
                values[first + rows.start : first + rows.stop] = found[rows.start - tile.start : rows.stop - tile.start]
        return FeatureSequence.masked(values, times, valid, self._names, self._notes(face_clip.times[pictures, 0]))

    def _notes(self, starts: NDArray[np.float64]) -> tuple[str, ...]:
        """A note if the clip is much slower than ``fps``."""
        step = float(np.median(np.diff(starts))) if len(starts) > 1 else 0.0
        if step * self.fps < 1.5:
            return ()
        return (f"video_swin asks for {self.fps:g} pictures a second; the clip has {1 / step:.3g}, taken as they are",)


def stretches(times: NDArray[np.float64], valid: NDArray[np.bool_], longest_gap: float) -> list[tuple[int, int]]:
    """Start and end row of each stretch of valid rows at most ``longest_gap`` seconds apart."""
    rows = np.flatnonzero(valid)
    breaks = np.flatnonzero(times[rows[1:], 0] - times[rows[:-1], 1] > longest_gap)
    firsts, lasts = np.append(rows[:1], rows[breaks + 1]), np.append(rows[breaks], rows[-1:])
    return [(int(first), int(last) + 1) for first, last in zip(firsts, lasts, strict=True)]


def tiles(count: int, window: int, overlap: int) -> Iterator[tuple[slice, slice]]:
    """Rows processed at once, and the rows kept of them, which meet in the middle of each overlap."""
    first = 0
    for start in range(0, max(count - overlap, 1), window - overlap):
        stop = min(start + window, count)
        last = stop if stop == count else stop - overlap // 2
        yield slice(start, stop), slice(first, last)
        first = last


def _pairs(values: NDArray[Any]) -> NDArray[Any]:
    """Pair up rows (n, 2); if their number is odd, the last one is repeated."""
    return np.append(values, values[-1:][: len(values) % 2]).reshape(-1, 2)


def _nearest_with_a_face(rows: Ints, valid: NDArray[np.bool_]) -> Ints:
    """Each row, or the nearest row with a face, the earlier one in a tie."""
    faces = np.flatnonzero(valid[rows])
    if not len(faces):
        return rows
    places = np.searchsorted((faces[:-1] + faces[1:]) / 2, np.arange(len(rows)), side="left")
    return rows[faces[places]]
