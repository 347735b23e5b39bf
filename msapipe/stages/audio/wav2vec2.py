"""Hidden states of Wav2Vec2, 50 rows a second; with a head, also arousal, dominance and valence (GPU or CPU)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from msapipe.errors import WeightsError
from msapipe.stages._speech_net import load_speech
from msapipe.stages.audio._hidden_states import Floats, HiddenStates
from msapipe.weights import Checkpoint, Weights
from msapipe.weights.encoders import WAV2VEC2

_DIMENSIONS = ("arousal", "dominance", "valence")


@dataclass
class Wav2vec2(HiddenStates):
    """Hidden states of a Wav2Vec2 checkpoint: (T, 1024) by default, (T, 768) for base; one row every 20 ms.

    Baevski et al. (2020); the default checkpoint is fine-tuned on emotions of MSP-Podcast by Wagner et al. (2023).
    Values are those of transformers, without unit or fixed range.
    Columns: wav2vec2_0...; with ``head`` three more: arousal, dominance, valence, about 0...1, computed by audeering's
    head from the mean of the network's output over the clip. They are the same on every valid row.

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

    weights: ClassVar[tuple[Weights, ...]] = (
        Checkpoint(
            name="audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim",
            revision="6eba34a2485ea31cb03600241787c3a5edab8626",
            sha256="efa5ac1a13b2d2f42182738e44794b1eb4c0cdd221a8b4ae11304c3a5f5fae95",
            licence="CC-BY-NC-SA-4.0",
            source="hub audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim",
            commercial=False,
        ),
        WAV2VEC2,
    )
    architecture: ClassVar[str] = "Wav2Vec2Model"

    checkpoint: str = "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim"
    head: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Column names; known once loaded."""
        return super().names + (_DIMENSIONS if self.head else ())

    def _read(self, folder: Path, device: str) -> Any:
        if not self.head:
            return super()._read(folder, device)
        model = load_speech(folder, _emotion_model(), device)
        labels = tuple(model.config.id2label.values())
        if labels != _DIMENSIONS:
            raise WeightsError(f"{folder}: its head tells {', '.join(labels)}; expected {', '.join(_DIMENSIONS)}")
        self._classifier = model.classifier
        return model.wav2vec2

    def _fill(self, samples: Floats, values: Floats) -> None:
        if not self.head:
            super()._fill(samples, values)
            return
        import torch

        wide = self._backbone.config.hidden_size
        total = torch.zeros(wide, device=self._backbone.device)
        for first, rows in self._net.pieces(samples, lambda sound: torch.cat(self._states(sound), dim=1)):
            values[first : first + len(rows), :wide] = rows[:, :wide].cpu().numpy()
            total += rows[:, wide:].sum(0)
        with torch.inference_mode():
            values[:, wide:] = self._classifier(total / len(values)).cpu().numpy()


def _emotion_model() -> Any:
    """The class on audeering's model card: a Wav2Vec2 network, and two linear layers on the mean of its output."""
    import torch
    from transformers import Wav2Vec2Model, Wav2Vec2PreTrainedModel

    class RegressionHead(torch.nn.Module):
        def __init__(self, config: Any) -> None:
            super().__init__()
            self.dense = torch.nn.Linear(config.hidden_size, config.hidden_size)
            self.out_proj = torch.nn.Linear(config.hidden_size, config.num_labels)

        def forward(self, pooled: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.out_proj(torch.tanh(self.dense(pooled))))

    class EmotionModel(Wav2Vec2PreTrainedModel):  # type: ignore[no-untyped-call]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.wav2vec2 = Wav2Vec2Model(config)
            self.classifier = RegressionHead(config)
            self.post_init()  # type: ignore[no-untyped-call]

    return EmotionModel
