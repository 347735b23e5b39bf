"""The trained text model in its file: vocabulary, linear model, network, and how the two are blended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import WeightsError
from msapipe.stages.text._pocket_lexicon import flags, read_valences, statistics
from msapipe.stages.text._pocket_linear import LinearModel
from msapipe.stages.text._pocket_net import forward, network

if TYPE_CHECKING:
    import torch
    from torch import nn

Arrays = Mapping[str, NDArray[np.generic]]

LIMIT = 3.0  # of a MOSI label

_SCALE = ".scale"
_TABLE_ROW = 256  # buckets of the linear model that share a scale


def quantised(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.generic]]:
    """Every array of two or more dimensions as int8 with a float32 scale per row, the others as they are."""
    out: dict[str, NDArray[np.generic]] = {}
    for name, array in arrays.items():
        if array.ndim < 2:
            out[name] = array.astype(np.float32)
            continue
        largest = np.abs(array.reshape(len(array), -1)).max(axis=1)
        scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        shaped = scale.reshape(-1, *[1] * (array.ndim - 1))
        out[name] = np.rint(array / shaped).astype(np.int8)
        out[name + _SCALE] = scale
    return out


def dequantised(stored: Arrays) -> dict[str, NDArray[np.float32]]:
    """What ``quantised`` stored, as float32."""
    out: dict[str, NDArray[np.float32]] = {}
    for name, array in stored.items():
        if name.endswith(_SCALE):
            continue
        scale = stored.get(name + _SCALE)
        out[name] = array.astype(np.float32)
        if scale is not None:
            out[name] *= scale.astype(np.float32).reshape(-1, *[1] * (array.ndim - 1))
    return out


def to_arrays(
    vocabulary: Sequence[str], linear: LinearModel, state: Mapping[str, torch.Tensor], blend: NDArray[np.float32]
) -> dict[str, NDArray[np.generic]]:
    """All that the file holds. ``vocabulary`` begins with the unknown word, which is not stored."""
    numbers = {f"net.{name}": tensor.numpy() for name, tensor in state.items()} | {
        "linear.words": linear.words.reshape(-1, _TABLE_ROW),
        "linear.letters": linear.letters.reshape(-1, _TABLE_ROW),
        "linear.known": linear.known,
        "linear.statistics": linear.statistics,
        "linear.bias": np.array([linear.bias], np.float32),
        "blend": blend,
    }
    return {"vocabulary": np.frombuffer("\n".join(vocabulary[1:]).encode(), np.uint8), **quantised(numbers)}


class PocketModel:
    """Scores lists of tokens; ``blend`` is the share of the linear model, that of the network, and a bias."""

    def __init__(self, arrays: Arrays, valences: dict[str, float]) -> None:
        words = bytes(arrays["vocabulary"].astype(np.uint8)).decode().split("\n")
        numbers = dequantised({name: array for name, array in arrays.items() if name != "vocabulary"})
        self._ids = {word: i for i, word in enumerate(words, start=1)}
        self._valences = valences
        self._linear = LinearModel(
            numbers["linear.words"].ravel(),
            numbers["linear.letters"].ravel(),
            numbers["linear.known"],
            numbers["linear.statistics"],
            float(numbers["linear.bias"][0]),
        )
        self._blend = numbers["blend"]
        self._net = _filled(numbers)

    @classmethod
    def read(cls, path: Path, lexicon: Path) -> PocketModel:
        """From the model's file and VADER's lexicon. Raises WeightsError when the file is not such a model's."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return cls(load_file(path), read_valences(lexicon))
        except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
            raise WeightsError(f"{path} is not a model of this version: {error}; reinstall msapipe") from error

    def known(self, tokens: Sequence[str]) -> float:
        """Share of the tokens that are in the vocabulary; 0 without tokens."""
        return sum(token in self._ids for token in tokens) / len(tokens) if tokens else 0.0

    def parts(self, tokens: Sequence[str]) -> tuple[float, float]:
        """What the linear model and the network (mean of its branches) say of at least one token, before blending."""
        import torch

        ids = np.array([self._ids.get(token, 0) for token in tokens], np.int64)
        with torch.inference_mode():
            lexicon = torch.from_numpy(flags(tokens, self._valences))
            scores, _ = forward(self._net, torch.from_numpy(ids)[None], lexicon[None], torch.tensor([len(ids)]))
        return self._linear.score(tokens, ids, statistics(tokens, self._valences)), float(scores.mean())

    def score(self, tokens: Sequence[str]) -> float:
        """The expected label on MOSI's scale, in [-3, 3]."""
        linear, net = self.parts(tokens)
        share, rest, bias = self._blend.tolist()
        return float(np.clip(share * linear + rest * net + bias, -LIMIT, LIMIT))


def _filled(numbers: Mapping[str, NDArray[np.float32]]) -> nn.ModuleDict:
    import torch

    state = {
        name.removeprefix("net."): torch.from_numpy(array) for name, array in numbers.items() if name.startswith("net.")
    }
    branches = len({name.split(".")[1] for name in state if name.startswith("branches.")})
    with torch.device("meta"):  # draws no random numbers only to overwrite them
        net = network(len(state["embedding.weight"]), branches)
    net.load_state_dict(state, strict=True, assign=True)
    return net.eval().requires_grad_(False)
