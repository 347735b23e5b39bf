"""Wav2Vec2 and HuBERT on sound of any length: normalised once, in overlapping windows, one row per 20 ms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import ConfigError, WeightsError
from msapipe.stages._base import Dtype
from msapipe.stages._speech import RATE
from msapipe.stages._speech_convolutions import Convolutions
from msapipe.stages._transformers import load_config, load_model
from msapipe.types.sound import let_go, pieces_of

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]

_MOST_WHOLE = 1 << 24  # samples that are normalised at once: 17 minutes
_ROWS = 4096  # rows measured at once


class SpeechNet:
    """A network with the convolutions of wav2vec 2.0 (Baevski et al. 2020), on 16 kHz sound of any length.

    Row i is computed from ``field`` samples starting at i * ``hop`` (400 and 320 in every published checkpoint: 25 and
    20 ms), without padding; sound shorter than ``field`` is zero-padded to one row. The sound is normalised over the
    whole clip as preprocessor_config.json says. Clips run one at a time and unpadded, so no attention mask is needed
    with either kind of ``feat_extract_norm``.

    Sound of at most ``chunk_seconds`` is processed whole. Longer sound is processed in windows of that length, whose
    outer ``overlap_seconds`` are context and discarded. Operations of limited range give the same result as on the
    whole sound: the convolutions; the group norm of the first one, whose statistics cover the whole clip; and, from
    1.3 s of context on, the positional convolution. Attention has unlimited range, so rows differ.

    backbone: a float32 Wav2Vec2Model or HubertModel, with preprocessor_config.json in ``folder``. It is modified:
    its convolutions become ``Convolutions``, and its parameters ``dtype``.
    """

    def __init__(
        self, folder: Path, backbone: Any, chunk_seconds: float, overlap_seconds: float, dtype: Dtype = "float32"
    ) -> None:
        self._backbone = backbone
        self._preprocess = _preprocessor(folder)
        config = backbone.config
        if getattr(config, "add_adapter", False):
            raise WeightsError(f"{folder}: its adapter makes fewer rows; expected a checkpoint with add_adapter false")
        self.hop, self.field = _geometry(config.conv_kernel, config.conv_stride)
        self._size = max(1, round(chunk_seconds * RATE / self.hop))
        self._context = round(overlap_seconds * RATE / self.hop)
        self._convolutions = _prepared(backbone, dtype)

    def rows(self, samples: int) -> int:
        """Number of rows for that many samples: as transformers counts them, but at least one for any sound."""
        return max(1, (samples - self.field) // self.hop + 1) if samples else 0

    def windows(self, samples: int) -> int:
        """Number of windows for that many samples."""
        return len(_windows(self.rows(samples), self._size, self._context))

    def times(self, samples: int, seconds: float) -> NDArray[np.float64]:
        """Row i covers [i * hop, (i + 1) * hop), the last one up to the end of the sound: (T, 2) seconds."""
        starts = np.arange(self.rows(samples)) * (self.hop / RATE)
        return np.stack([starts, np.append(starts[1:], seconds)[: len(starts)]], axis=1)

    def loud(self, samples: Floats, floor_db: float) -> NDArray[np.bool_]:
        """Which rows are not silent: the mean square of their samples is at least ``floor_db`` of full scale: (T,)."""
        if not len(samples):
            return np.zeros(0, bool)
        views = np.lib.stride_tricks.sliding_window_view(samples, min(self.field, len(samples)))[:: self.hop]
        square = np.empty(len(views))
        for first in range(0, len(views), _ROWS):
            some = views[first : first + _ROWS]
            square[first : first + _ROWS] = np.einsum("ij,ij->i", some, some, dtype=np.float64) / views.shape[1]
            let_go(samples)
        return np.asarray(10 * np.log10(np.maximum(square, 1e-12)) >= floor_db)

    def pieces(
        self, samples: Floats, forward: Callable[[torch.Tensor], torch.Tensor]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Process all windows in order; yields the index of a first row, and rows (n, D), without gaps.

        ``forward`` maps normalised samples (1, n) to rows (m, D).
        """
        import torch

        if not len(samples):
            return
        whole = len(samples) <= _MOST_WHOLE
        sound = torch.from_numpy(self._normalised(samples) if whole else samples)
        mean, deviation = (0.0, 1.0) if whole or not self._preprocess.do_normalize else _level(samples)
        plan = _windows(self.rows(len(samples)), self._size, self._context)
        self._convolutions.measure(sound, mean, deviation, lambda: let_go(samples))
        for start, first, last in plan:
            end = (start + self._size - 1) * self.hop + self.field if len(plan) > 1 else len(sound)
            piece = sound[None, start * self.hop : end]
            if not whole:
                piece = (piece - mean) / deviation
                let_go(samples)
            with torch.inference_mode():
                rows = forward(piece.to(self._backbone.device))[first - start : last - start]
            yield first, rows

    def _normalised(self, samples: Floats) -> Floats:
        sound = self._preprocess(samples, sampling_rate=RATE, return_tensors="np").input_values[0]
        return np.pad(sound, (0, max(0, self.field - len(sound))))


def _level(samples: Floats) -> tuple[float, float]:
    """Mean and deviation, as Wav2Vec2FeatureExtractor takes them, but piece by piece: it copies the sound."""
    mean = sum(float(piece.sum(dtype=np.float64)) for piece in pieces_of(samples)) / len(samples)
    square = sum(float(np.square(piece.astype(np.float64) - mean).sum()) for piece in pieces_of(samples))
    return mean, math.sqrt(square / len(samples) + 1e-7)


def _prepared(backbone: Any, dtype: Dtype) -> Convolutions:
    """Prepare a float32 model for inference; returns its new convolutions."""
    import torch
    from torch.nn.utils import parametrize

    kind: torch.dtype = getattr(torch, dtype)
    found = Convolutions(backbone.feature_extractor, kind)
    del backbone.feature_extractor  # a module attribute can only be replaced by a module
    backbone.feature_extractor = found
    positions = backbone.encoder.pos_conv_embed
    if parametrize.is_parametrized(positions.conv, "weight"):
        parametrize.remove_parametrizations(positions.conv, "weight")  # computes the weight norm once
    backbone.to(kind)
    if kind != torch.float32:
        # In bfloat16, oneDNN computes a convolution with few channels per group wrongly, beyond rounding error.
        positions.float()
        positions.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
        positions.register_forward_hook(lambda _, __, out: out.to(kind))
    return found


def load_speech(folder: Path, cls: Any, device: str) -> Any:
    """A network of transformers' ``cls``, read strictly; raises WeightsError for a checkpoint of another type."""
    found, expected = load_config(folder).model_type, cls.config_class.model_type
    if found != expected:
        raise WeightsError(f"{folder} is a checkpoint of {found}; expected one of {expected}")
    # masked_spec_embed is used only in training, and facebook/wav2vec2-base-960h lacks it.
    return load_model(folder, cls, device, may_lack=("masked_spec_embed",))


def check_chunks(stage: str, chunk_seconds: float, overlap_seconds: float) -> None:
    """Raise ConfigError unless windows are 1 to 600 s long and the context on each side is at most a quarter."""
    if not 1 <= chunk_seconds <= 600:
        raise ConfigError(f"{stage}: chunk_seconds {chunk_seconds} must lie between 1 and 600")
    if not 0 <= overlap_seconds <= chunk_seconds / 4:
        raise ConfigError(
            f"{stage}: overlap_seconds {overlap_seconds} must lie between 0 and a quarter of chunk_seconds "
            f"({chunk_seconds / 4:g})"
        )


def _preprocessor(folder: Path) -> Any:
    """The checkpoint's own feature extractor, for sound at 16 kHz."""
    from transformers import Wav2Vec2FeatureExtractor

    try:
        found = Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder} holds no preprocessor_config.json that transformers reads: {error}") from error
    if found.sampling_rate != RATE:
        raise WeightsError(f"{folder} hears {found.sampling_rate} Hz, expected a checkpoint for {RATE} Hz")
    return found


def _geometry(kernels: list[int], strides: list[int]) -> tuple[int, int]:
    """Hop between rows, and receptive field of a row, in samples."""
    field, hop = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field += (kernel - 1) * hop
        hop *= stride
    return hop, field


def _windows(rows: int, size: int, context: int) -> list[tuple[int, int, int]]:
    """Windows of ``size`` rows over ``rows``: (start, first kept row, end of the kept rows).

    Every window has full length; the last one reaches further back for that. Kept rows have ``context`` rows of their
    window on both sides, except at the ends of the sound.
    """
    if rows <= size:
        return [(0, 0, rows)] if rows else []
    starts = [*range(0, rows - size, size - 2 * context), rows - size]
    edges = [0, *(start + size - context for start in starts[:-1]), rows]
    return list(zip(starts, edges[:-1], edges[1:], strict=True))
