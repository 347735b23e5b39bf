"""Voice activity detection by Silero VAD v6 (MIT), reimplemented in numpy, and resampling to 16 kHz.

The weights are those of the packaged silero_vad.jit, read as plain floats from that archive: no TorchScript, no
pickle, no torch. The package silero_vad is not imported (its import sets torch to one thread). Its
silero_vad_16k.safetensors is from another training run: its probabilities differ by up to 0.5.
"""

from __future__ import annotations

import math
import zipfile

import numpy as np
from numpy.typing import NDArray

from msapipe.types import Waveform
from msapipe.types.sound import let_go
from msapipe.weights import InPackage

SILERO = InPackage(
    name="Silero VAD 16 kHz",
    package="silero_vad",
    file="data/silero_vad.jit",
    sha256="e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720",
    bytes=2272526,
    licence="MIT",
    source="https://github.com/snakers4/silero-vad, wheel silero-vad 6.2.3",
)

Floats = NDArray[np.float32]

RATE = 16000  # Hz, required by Silero and pocketsphinx
CHUNK = 512  # samples (32 ms): one probability each
_CONTEXT = 64  # samples of the previous chunk that Silero sees again
_PIECE = 1024  # chunks per batch (33 s), to bound memory

# The tensors of the 16 kHz network in the archive, records data/2 and on. The file's hash is checked first, so the
# order is certain.
_TENSORS: dict[str, tuple[int, ...]] = {
    "stft": (258, 1, 256),
    "conv1.weight": (128, 129, 3),
    "conv1.bias": (128,),
    "conv2.weight": (64, 128, 3),
    "conv2.bias": (64,),
    "conv3.weight": (64, 64, 3),
    "conv3.bias": (64,),
    "conv4.weight": (128, 64, 3),
    "conv4.bias": (128,),
    "weight_ih": (512, 128),
    "weight_hh": (512, 128),
    "bias_ih": (512,),
    "bias_hh": (512,),
    "final.weight": (1, 128, 1),
    "final.bias": (1,),
}


def at_16k(waveform: Waveform) -> Floats:
    """The samples resampled to 16 kHz: float32 (N,), by windowed sinc (16 zero crossings per side, Hann)."""
    if waveform.rate == RATE or not len(waveform.samples):
        return waveform.samples
    step = waveform.rate / RATE
    reach = int(np.ceil(16 * max(step, 1.0)))
    padded = np.pad(waveform.samples, (reach, reach + 1))
    taps = np.arange(-reach + 1, reach + 1)
    cutoff = min(1.0, 1 / step)
    length = int(np.ceil(len(waveform.samples) / step))
    out = np.empty(length, np.float32)
    for first in range(0, length, RATE):  # one second at a time: each sample has its own kernel
        at = np.arange(first, min(first + RATE, length)) * step
        whole = np.floor(at).astype(np.int64)
        away = taps[None, :] - (at - whole)[:, None]
        kernel = cutoff * np.sinc(cutoff * away) * np.cos(np.clip(away / reach, -1, 1) * np.pi / 2) ** 2
        out[first : first + len(at)] = (padded[whole[:, None] + taps + reach] * kernel).sum(1)
    return out


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x), np.float32)  # never overflows


def _tensors() -> dict[str, Floats]:
    with zipfile.ZipFile(SILERO.path()) as archive:
        root = archive.namelist()[0].partition("/")[0]
        return {
            name: np.frombuffer(archive.read(f"{root}/data/{record}"), "<f4", math.prod(shape)).reshape(shape)
            for record, (name, shape) in enumerate(_TENSORS.items(), 2)
        }


class SpeechDetector:
    """Silero VAD: maps 512 samples at 16 kHz to the probability of speech.

    Convolutions of all chunks run at once; only the LSTM is sequential. Equals the wheel's TorchScript within 1e-4.
    """

    def __init__(self) -> None:
        self._weights = _tensors()

    def probabilities(self, samples: Floats, gain: float = 1.0) -> Floats:
        """One probability per 512 samples of 16 kHz sound; the last chunk is padded with silence: float32 (n,).

        gain: factor applied to the samples.
        """
        count = -(-len(samples) // CHUNK)
        out = np.zeros(count, np.float32)
        hidden, cell = np.zeros(128, np.float32), np.zeros(128, np.float32)
        for first in range(0, count, _PIECE):
            last = min(first + _PIECE, count)
            known = samples[max(0, first * CHUNK - _CONTEXT) : last * CHUNK]
            piece = np.zeros((last - first) * CHUNK + _CONTEXT, np.float32)  # avoids a copy of the whole sound
            begin = 0 if first else _CONTEXT
            piece[begin : begin + len(known)] = known * np.float32(gain)
            let_go(samples)
            chunks = np.lib.stride_tricks.sliding_window_view(piece, CHUNK + _CONTEXT)[::CHUNK]
            walked, hidden, cell = self._walk(self._encode(chunks), hidden, cell)
            logits = np.maximum(walked, 0) @ self._weights["final.weight"].ravel() + self._weights["final.bias"]
            out[first:last] = _sigmoid(logits)
        return out

    def _encode(self, chunks: Floats) -> Floats:
        """Encode chunks with context (n, 576) to LSTM inputs (n, 128)."""
        x = np.pad(chunks, ((0, 0), (0, 64)), "reflect")
        x = np.lib.stride_tricks.sliding_window_view(x, 256, axis=1)[:, ::128]
        parts = x @ self._weights["stft"][:, 0].T
        x = np.sqrt(parts[..., :129] ** 2 + parts[..., 129:] ** 2)
        for layer, stride in ((1, 1), (2, 2), (3, 2), (4, 1)):
            weight, bias = self._weights[f"conv{layer}.weight"], self._weights[f"conv{layer}.bias"]
            x = np.pad(x, ((0, 0), (1, 1), (0, 0)))
            windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis=1)[:, ::stride]
            rows = windows.reshape(-1, weight[0].size) @ weight.reshape(len(weight), -1).T
            x = np.maximum(rows + bias, 0).reshape(len(chunks), -1, len(weight))
        return np.asarray(x[:, 0], np.float32)

    def _walk(self, inputs: Floats, hidden: Floats, cell: Floats) -> tuple[Floats, Floats, Floats]:
        """Run the LSTM over (n, 128): all outputs, and the two final states."""
        weights = self._weights
        gates = inputs @ weights["weight_ih"].T + (weights["bias_ih"] + weights["bias_hh"])
        out = np.empty((len(inputs), 128), np.float32)
        for step, gate in enumerate(gates):
            gate = gate + weights["weight_hh"] @ hidden
            let_in, keep, let_out = _sigmoid(gate[:128]), _sigmoid(gate[128:256]), _sigmoid(gate[384:])
            cell = keep * cell + let_in * np.tanh(gate[256:384])
            hidden = let_out * np.tanh(cell)
            out[step] = hidden
        return out, hidden, cell

    def spans(
        self,
        samples: Floats,
        threshold: float = 0.5,
        min_speech: float = 0.25,
        min_silence: float = 0.1,
        gain: float = 1.0,
    ) -> list[tuple[float, float]]:
        """Spans of speech in 16 kHz sound: disjoint, ordered, half-open (start, end) in seconds.

        As Silero's get_speech_timestamps without padding or a maximum length: speech begins at ``threshold``, ends
        where the probability stays 0.15 lower for ``min_silence`` seconds, and must last ``min_speech`` seconds.
        """
        total = len(samples) / RATE
        found: list[tuple[float, float]] = []
        start = quiet = None
        for index, probability in enumerate(self.probabilities(samples, gain)):
            now = index * CHUNK / RATE
            if probability >= threshold:
                quiet = None
                start = now if start is None else start
            elif probability < max(threshold - 0.15, 0.01) and start is not None:
                quiet = now if quiet is None else quiet
                if now - quiet >= min_silence:
                    found.append((start, quiet))
                    start = quiet = None
        if start is not None:
            found.append((start, total))
        return [(start, end) for start, end in found if end - start > min_speech]
