"""A model folder's numbers in its network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msapipe.errors import FeatureMismatch, MsapipeError, WeightsError
from msapipe.pipeline.card import Card

if TYPE_CHECKING:
    from torch import Tensor

    from msapipe.fusion._base import FusionModel

# A network may have so many times the numbers of its file (what is drawn anew, or frozen and kept elsewhere), but
# these few in any case.
_SPARE, _SMALL = 16, 10_000_000


def load_network(folder: Path, card: Card, name: str) -> FusionModel:
    """The fusion model of a folder, in eval mode on the CPU; its file was checked when the card was read.

    Raises FeatureMismatch when another version of the code made it, WeightsError when the numbers do not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from msapipe.fusion import fusion_models

    cls = fusion_models().get(card.use)
    if cls.version != card.version:
        raise FeatureMismatch(
            f"model {name}: made by version {card.version} of {card.use}, this is version {cls.version}; train it anew"
        )
    # YAML has no tuples.
    params = {key: tuple(value) if isinstance(value, list) else value for key, value in card.params.items()}
    try:
        stored = load_file(folder / card.weights.file)
        _check_size(cls, card, params, stored)
        network = cls(card.dims, **params)
    except MsapipeError:
        raise
    except (TypeError, ValueError, SafetensorError, OSError, RuntimeError, LookupError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{folder / 'model.yaml'}: no {card.use} can be made of it: {reason}") from error
    try:
        network.load_state_dict(stored, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{folder / card.weights.file} does not fit {card.use}: {reason}") from error
    return network.eval()


def _check_size(cls: type[FusionModel], card: Card, params: Mapping[str, Any], stored: Mapping[str, Tensor]) -> None:
    """Raise ValueError where the card asks for a network that is far larger than the numbers that are there.

    It is only laid out, without memory of its own, and only when two of the card's numbers multiply to more.
    """
    import torch

    has = sum(tensor.numel() for tensor in stored.values())
    two = sorted((number for item in (card.dims, params) for number in _numbers(item)), reverse=True)[:2]
    if math.prod(two) <= _SPARE * max(has, _SMALL):
        return
    with torch.device("meta"):
        asked = sum(part.numel() for part in cls(card.dims, **params).parameters())
    if asked > _SPARE * max(has, _SMALL):
        raise ValueError(f"it asks for {asked} numbers, {card.weights.file} holds {has}")


def _numbers(item: Any) -> Iterator[int]:
    """The whole numbers in plain values."""
    if isinstance(item, int):
        yield item
    elif isinstance(item, dict | list | tuple):
        for part in item.values() if isinstance(item, dict) else item:
            yield from _numbers(part)
