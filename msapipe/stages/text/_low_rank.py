"""all-mpnet-base-v2 with msapipe's fine-tuning: low-rank updates of each linear layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msapipe.errors import WeightsError
from msapipe.stages import _transformers
from msapipe.stages.text._passages import TextReader


class LowRankReader(TextReader):
    """Scores text by MPNet (Song et al., 2020) fine-tuned by LoRA (Hu et al., 2022), with attention and mean pooling.

    base: the folder of sentence-transformers/all-mpnet-base-v2.   learned: the file written by
    models/pocket_text/teacher.py.   Raises WeightsError if they do not match.
    """

    def __init__(self, base: Path, learned: Path, device: str) -> None:
        from safetensors.torch import load_file
        from transformers import MPNetModel

        self._device = device
        self._tokenizer = _transformers.load_tokenizer(base)
        self._encoder = _transformers.load_model(base, MPNetModel, device, add_pooling_layer=False)
        stored = {name: value.float().to(device) for name, value in load_file(learned).items()}
        self._head = {name: stored.pop(name) for name in list(stored) if not name.startswith("encoder.")}
        _merge(self._encoder, {name.removeprefix("encoder."): value for name, value in stored.items()}, learned)

    def cut(self, text: str) -> list[int]:
        """Token ids of a text."""
        encoded = self._tokenizer(text, add_special_tokens=False, truncation=False, split_special_tokens=True)
        return [int(piece) for piece in encoded["input_ids"]]

    def unknown(self) -> int | None:
        """The id of [UNK]."""
        return int(self._tokenizer.unk_token_id)

    def score_pieces(self, pieces: Sequence[int]) -> float:
        """Sentiment of the tokens."""
        import torch

        begin, end = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        with torch.inference_mode():
            ids = torch.tensor([[begin, *pieces, end]], device=self._device)
            states = self._encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
            return float(self._said(states))

    def _said(self, states: Any) -> Any:
        import torch
        from torch.nn.functional import gelu, linear

        head = self._head
        share = linear(states, head["attention.weight"], head["attention.bias"])[:, 0].softmax(0)
        pooled = torch.cat([share @ states, states.mean(0)])
        hidden = gelu(linear(pooled, head["hidden.weight"], head["hidden.bias"]))
        return linear(hidden, head["score.weight"], head["score.bias"])[0] * head["scale"][0] + head["bias"][0]


def _merge(encoder: Any, learned: Mapping[str, Any], where: Path) -> None:
    """Add every product of ``up`` and ``down`` to its layer, and replace the fully trained parameters."""
    import torch

    state = encoder.state_dict()
    layers = {name.removesuffix(".down") for name in learned if name.endswith(".down")}
    whole = {name for name in learned if not name.endswith((".up", ".down"))}
    wrong = sorted(name for name in whole if name not in state) + sorted(
        name for name in layers if f"{name}.weight" not in state or f"{name}.up" not in learned
    )
    if wrong or not layers:
        raise WeightsError(f"{where} does not fit all-mpnet-base-v2: {', '.join(wrong[:3]) or 'no maps'}")
    with torch.no_grad():
        for name in layers:
            state[f"{name}.weight"] += learned[f"{name}.up"] @ learned[f"{name}.down"]
        for name in whole:
            state[name].copy_(learned[name])
