"""Hidden states of BERT, RoBERTa, XLNet or another text encoder, one row per word or per word piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import ConfigError, WeightsError
from msapipe.stages import _transformers
from msapipe.stages._base import NeuralStage
from msapipe.stages.text._encoders import ENCODERS, Pieces, load_tokenizer, most_tokens, split, unknown_note
from msapipe.stages.text._times import piece_times, word_times
from msapipe.types import FeatureSequence, Transcript
from msapipe.weights import Weights

Floats = NDArray[np.float32]


@dataclass
class Bert(NeuralStage):
    """Hidden states of a text encoder: (T, D), D the width of its hidden states (768 for the base models).

    Columns bert_0...: hidden states, without unit, mostly in -10...10; those of ``AutoModel`` on the whole text. unit
    "word": one row per word, the mean of its word pieces, with the word's time (seconds); a word without word pieces
    (control characters) is invalid. unit "piece": one row per word piece, with an equal part of its word's time.
    Special tokens ([CLS], [SEP]) are passed to the network but get no rows.
    layers: "last", the index of a layer (0: embeddings, -1: last layer), or a list of indices: their mean.
    dtype: bfloat16 takes half the time on a CPU with AMX; features differ by at most 2 % (norm of the difference over
    norm, random weights: 1.2 %).

    A text longer than the network's input is processed in windows that overlap by half; each word piece is taken from
    the window whose middle is nearest. The transcript's word boundaries are kept: Chinese may come in words, characters
    or sentences, with a row for each. Devlin et al. (2019), Liu et al. (2019), Yang et al. (2019).
    """

    weights: ClassVar[tuple[Weights, ...]] = ENCODERS
    on_device: ClassVar[bool] = True

    checkpoint: str = "google-bert/bert-base-uncased"
    unit: Literal["word", "piece"] = "word"
    layers: Literal["last"] | int | list[int] = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.unit in ("word", "piece"), f"unit {self.unit!r} must be word or piece")
        if self.layers == [] or (isinstance(self.layers, str) and self.layers != "last"):
            raise ConfigError(f"bert: layers {self.layers!r} must be last, a number, or a list of numbers")

    def load(self, device: str) -> None:
        """Read the network and its tokenizer."""
        from transformers import AutoModel

        weights = self.own_weights()[0]
        folder = weights.path()
        config = _transformers.load_config(folder)
        if config.is_encoder_decoder:
            raise WeightsError(f"{weights.name}: {config.model_type} is no encoder of text alone; name a BERT-like one")
        self._tokenizer = load_tokenizer(folder)
        self._most = most_tokens(config, self._tokenizer)
        self._states_from = self._layer_numbers(int(config.num_hidden_layers))
        self._net = _transformers.load_model(folder, AutoModel, device, may_lack=("pooler",), dtype=self.dtype)
        self._types_wanted = "token_type_ids" in self._tokenizer.model_input_names
        self._names = tuple(f"bert_{i}" for i in range(int(config.hidden_size)))

    def run(self, words: Transcript) -> FeatureSequence:
        """Words with times to (T, D)."""
        pieces = split(self._tokenizer, words.words)
        spoken = pieces.word_of[pieces.word_of >= 0]
        states, windows = self._states(pieces)
        notes = self._notes(pieces, len(spoken), windows)
        if self.unit == "piece":
            times = piece_times(words.words, spoken)
            return FeatureSequence(states, times, np.ones(len(states), bool), self._names, notes=notes)
        sums = np.zeros((len(words.words), len(self._names)))
        np.add.at(sums, spoken, states)
        counts = np.bincount(spoken, minlength=len(sums))
        means = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
        return FeatureSequence(means, word_times(words.words), counts > 0, self._names, notes=notes)

    def _layer_numbers(self, count: int) -> list[int] | None:
        """The hidden states to average, None for the network's output; raises ConfigError for an invalid layer."""
        if isinstance(self.layers, str):
            return None
        numbers = [self.layers] if isinstance(self.layers, int) else self.layers
        for number in numbers:
            if not -count - 1 <= number <= count:
                raise ConfigError(f"bert: layers {self.layers}: {self.checkpoint} has layers 0 to {count}")
        return numbers

    def _states(self, pieces: Pieces) -> tuple[Floats, int]:
        """One row per token that is not special, and the number of windows."""
        spoken = np.flatnonzero(pieces.word_of >= 0)
        out = np.zeros((len(spoken), len(self._names)), np.float32)
        if not len(spoken):
            return out, 0
        before, behind = np.arange(spoken[0]), np.arange(spoken[-1] + 1, len(pieces.ids))
        starts, size = _windows(len(spoken), self._most - len(before) - len(behind))
        nearest = _nearest(len(spoken), starts, size)
        for number, start in enumerate(starts):
            tokens = np.concatenate([before, spoken[start : start + size], behind])
            states = self._forward(pieces, tokens)[len(before) : len(before) + size]
            mine = np.flatnonzero(nearest == number)
            out[mine] = states[mine - start]
        return out, len(starts)

    def _forward(self, pieces: Pieces, tokens: NDArray[np.int64]) -> Floats:
        """The network's hidden states of some tokens: (len(tokens), D)."""
        import torch

        with torch.inference_mode():
            ids = torch.from_numpy(pieces.ids[tokens])[None].to(self._net.device)
            inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            if self._types_wanted:
                inputs["token_type_ids"] = torch.from_numpy(pieces.types[tokens])[None].to(self._net.device)
            out = self._net(**inputs, output_hidden_states=self._states_from is not None)
            if self._states_from is None:
                states = out.last_hidden_state.float()
            else:
                states = torch.stack([out.hidden_states[number].float() for number in self._states_from]).mean(0)
            return np.asarray(states[0].cpu().numpy(), np.float32)

    def _notes(self, pieces: Pieces, count: int, windows: int) -> tuple[str, ...]:
        notes = list(unknown_note(pieces, self.own_weights()[0].name))
        if windows > 1:
            notes.append(
                f"{count} word pieces are more than the {self._most} tokens that the encoder takes at once: "
                f"it read them in {windows} overlapping windows"
            )
        return tuple(notes)


def _windows(count: int, size: int) -> tuple[NDArray[np.int64], int]:
    """Starts of windows that cover ``count`` tokens, and their common length; they overlap by at least half."""
    if count <= size:
        return np.zeros(1, np.int64), count
    starts = np.arange(0, count - size, max(1, size // 2))
    return np.append(starts, count - size), size


def _nearest(count: int, starts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The window whose middle is nearest to each token, the earlier one in a tie: (count,)."""
    middles = starts + (size - 1) / 2
    between = (middles[:-1] + middles[1:]) / 2
    return np.searchsorted(between, np.arange(count), side="left")
