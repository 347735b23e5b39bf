"""Frames and sound held in memory, as a clip without a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Recording:
    """A clip in memory: numpy arrays or torch tensors, with frames, samples or both.

    frames: uint8 (T, H, W, 3) or (T, 3, H, W), RGB, T >= 1, at ``fps`` frames per second.
    samples: float (N,) mono, or (1, N) and (2, N), in [-1, 1], at ``rate`` Hz.
    text: the spoken words, if known.   id: its name in results and notes.
    Raises ValueError that names the value found and the value expected.
    """

    frames: Any = None
    fps: float | None = None
    samples: Any = None
    rate: int | None = None
    text: str | None = None
    id: str = "recording"

    def __post_init__(self) -> None:
        if self.frames is None and self.samples is None:
            raise ValueError("a recording needs frames, samples, or both")
        if self.frames is not None:
            object.__setattr__(self, "frames", _frames(self.frames))
            _positive("fps", self.fps, "pictures a second", "frames")
        if self.samples is not None:
            object.__setattr__(self, "samples", _samples(self.samples))
            _positive("rate", self.rate, "samples a second", "samples")

    def __repr__(self) -> str:
        parts = []
        if self.frames is not None:
            count, height, width, _ = self.frames.shape
            parts.append(f"{count} frames of {width}x{height} at {self.fps:g} fps")
        if self.samples is not None:
            channels, count = self.samples.shape
            parts.append(f"{count / float(self.rate or 1):.2f}s of sound at {self.rate} Hz, {channels} channels")
        return f"Recording({self.id!r}: {'; '.join(parts)})"


def _frames(given: Any) -> NDArray[np.uint8]:
    pixels = _array(given)
    if pixels.ndim != 4 or 3 not in (pixels.shape[1], pixels.shape[3]) or not pixels.size:
        raise ValueError(f"frames: found shape {pixels.shape}, expected (T, H, W, 3) or (T, 3, H, W)")
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"frames: found {pixels.dtype}, expected uint8 in [0, 255]; type: (frames * 255).astype('uint8')"
        )
    return np.ascontiguousarray(pixels if pixels.shape[3] == 3 else pixels.transpose(0, 2, 3, 1))


def _samples(given: Any) -> NDArray[np.float32]:
    heard = _array(given)
    heard = heard[None] if heard.ndim == 1 else heard
    if heard.ndim != 2 or heard.shape[0] not in (1, 2) or not heard.size:
        raise ValueError(f"samples: found shape {heard.shape}, expected (N,), (1, N) or (2, N)")
    if heard.dtype.kind != "f":
        raise ValueError(f"samples: found {heard.dtype}, expected float in [-1, 1]; of int16 type: samples / 32768")
    if not np.isfinite(heard).all() or np.abs(heard).max() > 1:
        raise ValueError("samples: found numbers outside [-1, 1], NaN or infinity; scale them first")
    return np.ascontiguousarray(heard, np.float32)


def _array(given: Any) -> NDArray[Any]:
    """Convert a numpy array or torch tensor to numpy; a GPU tensor is copied to the CPU."""
    return np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)


def _positive(name: str, value: float | None, unit: str, of: str) -> None:
    if value is None or not value > 0:
        raise ValueError(f"{name}: found {value}, expected the {unit} of {of}, above 0")
