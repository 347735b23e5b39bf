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

    Parameters, rows and windows are those of HiddenStates.
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
