"""Base class of wav2vec2 and hubert: hidden states of a speech network as features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import ConfigError
from msapipe.stages._base import NeuralStage
from msapipe.stages._speech import at_16k
from msapipe.stages._speech_net import SpeechNet, check_chunks, load_speech
from msapipe.types import FeatureSequence, Waveform

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]


@dataclass
class HiddenStates(NeuralStage):
    """One row of hidden states every 20 ms: (T, D).

    layers: "last", the network's output; i, the output of transformer layer i (0: input of the first layer, negative:
    from the end); the last layer's index means the network's output, after its final layer norm if it has one. A list
    of indices: their mean. Other values are an error in ``load``.

    Row i is computed from the 25 ms starting at i * 20 ms and covers [20 i, 20 i + 20) ms, the last one up to the end
    of the sound; sound shorter than 25 ms is zero-padded to one row. valid: the mean square of these 25 ms is at least
    ``floor_db`` dB of full scale.

    Sound of at most ``chunk_seconds`` is processed whole, as by transformers (within 1e-5). Longer sound is processed
    in windows of that length, of which ``overlap_seconds`` on both sides are context and discarded; memory then stays
    constant. Only attention is limited to the window, and a note says so; everything else, including the group norm of
    base checkpoints, is as in the whole sound. With the defaults, rows of random networks then differ (root mean
    square) by 0.04 % after 3 layers and by 2.4 % after 12; the difference was not measured for trained networks.

    dtype: bfloat16 takes about a third of the time on a CPU with AMX; features differ by at most 3 % (norm of the
    difference over norm, random weights: 1.5 %).
    """

    on_device: ClassVar[bool] = True
    architecture: ClassVar[str]  # class name in transformers

    layers: Literal["last"] | int | list[int] = "last"
    chunk_seconds: float = 20.0
    overlap_seconds: float = 2.0
    floor_db: float = -60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers == []:
            raise ConfigError(f"{self.called}: layers is empty; expected last, a number or a list of numbers")
        self.require(
            -120 <= self.floor_db <= 0, f"floor_db {self.floor_db} must lie between -120 and 0 (dB of full scale)"
        )
        check_chunks(self.called, self.chunk_seconds, self.overlap_seconds)

    def load(self, device: str) -> None:
        """Read the network and its preprocessing; raises ConfigError for a layer that does not exist."""
        folder = self.own_weights()[0].path()
        self._backbone = self._read(folder, device)
        self._net = SpeechNet(folder, self._backbone, self.chunk_seconds, self.overlap_seconds, self.dtype)
        self._chosen = _chosen(self.called, self.layers, self._backbone.config.num_hidden_layers)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names; known once loaded."""
        return tuple(f"{self.called}_{i}" for i in range(self._backbone.config.hidden_size))

    def run(self, waveform: Waveform) -> FeatureSequence:
        """Sound of any length and sampling rate to (T, D); T as transformers counts it, but at least one row."""
        samples = at_16k(waveform)
        times = self._net.times(len(samples), waveform.seconds)
        valid = self._net.loud(samples, self.floor_db)
        values = np.zeros((len(times), len(self.names)), np.float32)
        if valid.any():
            self._fill(samples, values)
            values[~valid] = 0
        count = self._net.windows(len(samples))
        note = f"heard in {count} windows of {self.chunk_seconds:g} s: rows differ from those of the whole sound"
        return FeatureSequence(values, times, valid, self.names, notes=(note,) if count > 1 else ())

    def _read(self, folder: Path, device: str) -> Any:
        """The network without its head."""
        import transformers

        return load_speech(folder, getattr(transformers, self.architecture), device)

    def _fill(self, samples: Floats, values: Floats) -> None:
        for first, rows in self._net.pieces(samples, lambda sound: self._states(sound)[0]):
            values[first : first + len(rows)] = rows.cpu().numpy()

    def _states(self, sound: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Samples (1, n) to the selected rows, float32 (m, D), and to the rows of the network's output."""
        import torch

        output = self._backbone.config.num_hidden_layers
        out = self._backbone(sound, output_hidden_states=self._chosen != (output,))
        last = out.last_hidden_state[0].float()
        if self._chosen == (output,):
            return last, last
        # In some architectures, the last entry of transformers' hidden_states lacks the final layer norm.
        every = [*(state[0].float() for state in out.hidden_states[:output]), last]
        return torch.stack([every[index] for index in self._chosen]).mean(0), last


def _chosen(stage: str, layers: Literal["last"] | int | list[int], count: int) -> tuple[int, ...]:
    """Indices in 0...count of the selected states."""
    asked = [count] if layers == "last" else [layers] if isinstance(layers, int) else list(layers)
    for index in asked:
        if isinstance(index, str) or not -count - 1 <= index <= count:
            raise ConfigError(
                f"{stage}: layers names {index}; the checkpoint has {count} layers: 0 (before the first) to {count}, "
                f"or {-count - 1} to -1 from the end"
            )
    return tuple(int(index) % (count + 1) for index in asked)
