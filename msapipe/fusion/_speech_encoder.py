"""The audio branch of models that fine-tune a speech network: HuBERT or wav2vec 2.0 on raw sound.

The network is built from its configuration alone, and its weights are read when training begins (``load``), so a
trained model is rebuilt without the checkpoint. The configuration is the parameter ``speech_config``, read from the
checkpoint if empty.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from msapipe.documents import read_json
from msapipe.errors import ConfigError, WeightsError
from msapipe.fusion._base import present
from msapipe.weights import Weights, choose
from msapipe.weights.encoders import CHINESE_HUBERT, HUBERT, quiet_transformers

# Audio features whose rows are 20 ms of sound at 16 kHz.
SAMPLE_COLUMNS = 320


KNOWN = (HUBERT, CHINESE_HUBERT)


class SpeechEncoder(nn.Module):
    """Sound (B, T, 320) to the last hidden states (B, T', width), one row every 20 ms.

    T' is T minus one or two, at least 1: a row covers 25 ms without padding. Rows equal those of the stage hubert for
    sound up to 20 s, which it processes whole, except that quiet rows are valid too.

    The convolutions are always frozen, as usual. They process one clip at a time, unpadded: the group norm of base
    checkpoints takes its statistics over its whole input. Layerdrop and SpecAugment are not used: they are meant for
    training on much more sound.

    what: the model's name for errors.
    """

    learning: ClassVar[tuple[str, ...]] = ("net.feature_projection.", "net.encoder.")

    def __init__(self, speech_model: str, speech_config: str, columns: int, what: str) -> None:
        super().__init__()
        from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model

        if columns != SAMPLE_COLUMNS:
            raise ConfigError(
                f"{what}: speech_model reads sound, {SAMPLE_COLUMNS} columns a row, found audio of {columns} columns; "
                "extract the audio with the stage samples"
            )
        self.named, self.what = speech_model, what
        config = _config(speech_model, speech_config, what)
        if not isinstance(config, HubertConfig | Wav2Vec2Config):
            raise ConfigError(f"{what}: speech_model is a {config.model_type}, expected a hubert or wav2vec2")
        for unused in ("layerdrop", "mask_time_prob", "mask_feature_prob"):
            setattr(config, unused, 0.0)
        self.net: Any = HubertModel(config) if isinstance(config, HubertConfig) else Wav2Vec2Model(config)
        self.width: int = config.hidden_size
        self._field = _field(config.conv_kernel, config.conv_stride)

    @property
    def config(self) -> str:
        """The value of ``speech_config`` that rebuilds the same network."""
        left_out = ("transformers_version", "_name_or_path", "architectures", "dtype")
        whole: dict[str, Any] = self.net.config.to_diff_dict()
        return json.dumps({name: value for name, value in whole.items() if name not in left_out}, sort_keys=True)

    def load(self) -> None:
        """Load the weights of the named checkpoint; raises MissingWeights if it is not on this machine."""
        if not self.named:
            return
        folder = _checkpoint(self.named, self.what).path()
        quiet_transformers()
        try:
            loaded, found = type(self.net).from_pretrained(
                folder,
                config=self.net.config,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
            if missing := sorted(found["missing_keys"]):
                raise ValueError(f"{len(missing)} parameters are not in it ({', '.join(missing[:3])})")
            self.net.load_state_dict(loaded.state_dict())
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise WeightsError(f"{self.what}: {folder} does not fit the speech network: {reason}") from error

    def forward(self, rows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, 320), (B, T) to states and their mask; both are zero for a clip without sound."""
        heard = present(mask)
        if not heard.any():
            return rows.new_zeros(len(rows), 1, self.width), mask.new_zeros(len(rows), 1)
        with torch.no_grad():
            frames = [
                self.net.feature_extractor(self._sound(*clip)[None])[0].T
                for clip in zip(rows[heard], mask[heard], strict=True)
            ]
        counts = torch.tensor([len(part) for part in frames], device=rows.device)
        there = torch.arange(int(counts.max()), device=rows.device) < counts.unsqueeze(1)
        projected = self.net.feature_projection(pad_sequence(frames, batch_first=True))
        # In wav2vec 2.0, the projection also returns its input.
        projected = projected[0] if isinstance(projected, tuple) else projected
        found = self.net.encoder(projected, attention_mask=there).last_hidden_state * there.unsqueeze(-1)
        states = found.new_zeros(len(rows), *found.shape[1:])
        seen = mask.new_zeros(len(rows), there.shape[1])
        states[heard], seen[heard] = found, there
        return states, seen

    def _sound(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Samples of one clip (T, 320), normalised for its checkpoint (N,), without the padding of the last row."""
        last = int(mask.nonzero().max())
        sound = rows[: last + 1].masked_fill(~mask[: last + 1].unsqueeze(1), 0.0).flatten()
        # Trailing zeros are padding, or less than 20 ms of silence. A row of zeros only is silence.
        ending = sound[-SAMPLE_COLUMNS:].nonzero()
        if len(ending):
            sound = sound[: len(sound) - SAMPLE_COLUMNS + int(ending.max()) + 1]
        if getattr(self.net.config, "do_normalize", True):
            sound = (sound - sound.mean()) / torch.sqrt(sound.var(correction=0) + 1e-7)
        return functional.pad(sound, (0, max(0, self._field - len(sound))))


def _field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Receptive field of a row in samples."""
    field, hop = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field += (kernel - 1) * hop
        hop *= stride
    return field


def _checkpoint(name: str, what: str) -> Weights:
    return choose(KNOWN, name, what)


def _config(speech_model: str, speech_config: str, what: str) -> Any:
    """The given configuration, else that in the checkpoint's folder, with ``do_normalize`` of its preprocessor."""
    quiet_transformers()
    from transformers import AutoConfig

    try:
        if speech_config:
            return AutoConfig.for_model(**read_json(speech_config))
        folder = _checkpoint(speech_model, what).path()
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config.do_normalize = _normalizes(folder)
        return config
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"{what}: no configuration of a speech network: {reason}") from error


def _normalizes(folder: Path) -> bool:
    """Whether the checkpoint's preprocessor normalises sound to mean 0 and standard deviation 1."""
    found = read_json((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    return bool(found.get("do_normalize", True))
