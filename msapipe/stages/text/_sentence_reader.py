"""A pooled BERT encoder with a regression head: numpy only, int8 weights and tokenizer in one safetensors file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import WeightsError
from msapipe.stages.text._passages import TextReader

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Floats = NDArray[np.float32]

HEADS = 12  # attention heads: cannot be inferred from the shapes of the weights
EPSILON = 1e-12  # of layer norm, as in BERT
_TOKENIZER = "tokenizer"
_LAYER = re.compile(r"encoder\.encoder\.layer\.(\d+)\.")

# Names and shapes of the parameters, with W the width of the model and F that of its feed-forward layers.
_EMBEDDINGS = {
    "word_embeddings.weight": ("vocabulary", "W"),
    "position_embeddings.weight": ("positions", "W"),
    "token_type_embeddings.weight": ("types", "W"),
    "LayerNorm.weight": ("W",),
    "LayerNorm.bias": ("W",),
}
_BLOCK = {
    f"{name}.{kind}": shape if kind == "weight" else shape[:1]
    for name, shape in {
        "attention.self.query": ("W", "W"),
        "attention.self.key": ("W", "W"),
        "attention.self.value": ("W", "W"),
        "attention.output.dense": ("W", "W"),
        "attention.output.LayerNorm": ("W",),
        "intermediate.dense": ("F", "W"),
        "output.dense": ("W", "F"),
        "output.LayerNorm": ("W",),
    }.items()
    for kind in ("weight", "bias")
}
_HEAD = {
    "attention.weight": ("1", "W"),
    "attention.bias": ("1",),
    "hidden.weight": ("hidden", "2W"),
    "hidden.bias": ("hidden",),
    "score.weight": ("1", "hidden"),
    "score.bias": ("1",),
}


class SentenceReader(TextReader):
    """Scores text by BERT (Devlin et al., 2019), with concatenated attention and mean pooling, and one hidden layer.

    weights: float32 arrays named as in a BertModel of ``transformers`` below "encoder.", and for the head "attention",
    "hidden" and "score".   Raises WeightsError for a missing or unexpected name or shape.
    """

    def __init__(self, weights: Mapping[str, Floats], tokenizer: Tokenizer, where: str = "weights") -> None:
        self.depth = _check(weights, where)
        self._weights = weights
        self._tokenizer = tokenizer
        tokenizer.encode_special_tokens = True  # a word such as "[SEP]" is text
        self._unknown: int | None = tokenizer.token_to_id("[UNK]")
        from threadpoolctl import ThreadpoolController

        # Sentences are short: a second thread saves nothing, and stalls on a busy machine.
        self._blas = ThreadpoolController().select(user_api="blas")

    @classmethod
    def read(cls, path: Path) -> SentenceReader:
        """Read a file written by ``pack``; raises WeightsError for any other file."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        try:
            stored = load_file(path)
            text = stored.pop(_TOKENIZER).tobytes().decode()
            tokenizer = Tokenizer.from_str(text)
        except (SafetensorError, KeyError, ValueError) as error:
            raise WeightsError(f"{path}: found no text model with its tokenizer ({error}); reinstall msapipe") from None
        return cls(_unpacked(stored), tokenizer, str(path))

    def cut(self, text: str) -> list[int]:
        """Token ids of a text."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def unknown(self) -> int | None:
        """The id of [UNK]."""
        return self._unknown

    def score_pieces(self, pieces: Sequence[int]) -> float:
        """Sentiment of the tokens."""
        begin, end = (self._tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
        with self._blas.limit(limits=1):
            return self._head(self.states(np.array([begin, *pieces, end], np.int64)))

    def states(self, pieces: NDArray[np.int64]) -> Floats:
        """Token ids (T,), including [CLS] and [SEP], to the last hidden states (T, W)."""
        at = "encoder.embeddings."
        weights = self._weights
        hidden = weights[f"{at}word_embeddings.weight"][pieces]
        hidden = hidden + weights[f"{at}token_type_embeddings.weight"][0]
        hidden = hidden + weights[f"{at}position_embeddings.weight"][: len(pieces)]
        hidden = self._norm(hidden, f"{at}LayerNorm")
        for layer in range(self.depth):
            hidden = self._block(hidden, f"encoder.encoder.layer.{layer}.")
        return hidden

    def _block(self, hidden: Floats, at: str) -> Floats:
        attended = self._linear(self._attend(hidden, at), f"{at}attention.output.dense")
        hidden = self._norm(hidden + attended, f"{at}attention.output.LayerNorm")
        inner = self._linear(hidden, f"{at}intermediate.dense")
        return self._norm(hidden + self._linear(_gelu(inner), f"{at}output.dense"), f"{at}output.LayerNorm")

    def _attend(self, hidden: Floats, at: str) -> Floats:
        steps, width = hidden.shape
        query, key, value = (
            self._linear(hidden, f"{at}attention.self.{name}").reshape(steps, HEADS, -1).swapaxes(0, 1)
            for name in ("query", "key", "value")
        )
        share = _softmax(query @ key.swapaxes(1, 2) / np.float32(np.sqrt(width // HEADS)))
        return np.ascontiguousarray((share @ value).swapaxes(0, 1)).reshape(steps, width)

    def _head(self, states: Floats) -> float:
        share = _softmax(self._linear(states, "attention")[:, 0])
        pooled = np.concatenate([share @ states, states.mean(axis=0)])
        return float(self._linear(_gelu(self._linear(pooled, "hidden")), "score")[0])

    def _linear(self, x: Floats, name: str) -> Floats:
        out: Floats = x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return out

    def _norm(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        std = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        out: Floats = centred / std * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return out


def pack(weights: Mapping[str, Floats], tokenizer: str) -> dict[str, NDArray[Any]]:
    """Arrays for a safetensors file: matrices in int8 with one scale per row, others in float32, and the tokenizer.

    tokenizer: the text of a tokenizer.json. Its padding and truncation are removed.
    """
    settings = json.loads(tokenizer) | {"padding": None, "truncation": None}
    packed: dict[str, NDArray[Any]] = {_TOKENIZER: np.frombuffer(json.dumps(settings).encode(), np.uint8)}
    for name, value in weights.items():
        if value.ndim == 2 and value.size > 4096:
            scale = np.maximum(np.abs(value).max(axis=1), 1e-12) / 127
            packed[name] = np.round(value / scale[:, None]).astype(np.int8)
            packed[f"{name}.scale"] = scale.astype(np.float32)
        else:
            packed[name] = np.ascontiguousarray(value, np.float32)
    return packed


def _unpacked(stored: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
    found = {name: value for name, value in stored.items() if not name.endswith(".scale")}
    return {
        name: value.astype(np.float32) * stored[f"{name}.scale"][:, None] if value.dtype == np.int8 else value
        for name, value in found.items()
    }


def _check(weights: Mapping[str, Floats], where: str) -> int:
    """The number of layers; raises WeightsError for a wrong name or shape."""
    layers = {int(found.group(1)) for name in weights if (found := _LAYER.match(name))}
    wanted = {f"encoder.embeddings.{name}": shape for name, shape in _EMBEDDINGS.items()} | _HEAD
    for layer in range(len(layers)):
        wanted |= {f"encoder.encoder.layer.{layer}.{name}": shape for name, shape in _BLOCK.items()}
    if odd := sorted(set(wanted) ^ set(weights)):
        raise WeightsError(f"{where}: missing or not expected: {', '.join(odd[:3])}; reinstall msapipe")
    sizes = {"1": 1, "W": weights["attention.weight"].shape[-1]}
    sizes["2W"] = 2 * sizes["W"]
    for name, shape in wanted.items():
        given = weights[name].shape
        if len(given) == len(shape):
            expected = tuple(sizes.setdefault(letter, size) for letter, size in zip(shape, given, strict=True))
        else:
            expected = tuple(sizes.get(letter, 0) for letter in shape)
        if expected != given:
            raise WeightsError(f"{where}: {name} has shape {given}, expected {expected}; reinstall msapipe")
    return len(layers)


def _gelu(x: Floats) -> Floats:
    """x Phi(x), Phi by Abramowitz and Stegun (1964), 7.1.26, within 1.5e-7; importing SciPy would take 0.25 s."""
    size = np.abs(x) * np.float32(np.sqrt(0.5))
    t: Floats = np.reciprocal(1 + np.float32(0.3275911) * size)
    tail = t * np.exp(-size * size)
    powers: Floats = np.full_like(t, 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        powers = np.asarray(powers * t + factor, np.float32)
    out: Floats = x * np.where(x > 0, 1 - tail * powers / 2, tail * powers / 2)
    return out


def _softmax(x: Floats) -> Floats:
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    out: Floats = raised / raised.sum(axis=-1, keepdims=True)
    return out
