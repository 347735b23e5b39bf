"""Load a model folder's weights into its network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msapipe.errors import FeatureMismatch, MsapipeError, WeightsError
from msapipe.fusion._scores import Scorer, Scores
from msapipe.pipeline.card import Card
from msapipe.types import FeatureSequence

if TYPE_CHECKING:
    from torch import Tensor

    from msapipe.fusion._base import FusionModel

# A network may have this many times the numbers in its file (for parts initialised anew, or frozen and stored
# elsewhere); a smaller file counts as _SMALL numbers.
_SPARE, _SMALL = 16, 10_000_000


def load_network(folder: Path, card: Card, name: str) -> FusionModel:
    """The fusion model of a folder, in eval mode on the CPU; reading the card has already checked its file.

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
    """Raise ValueError when the card asks for a network far larger than the stored numbers.

    Builds the network on the meta device, and only if the card's two largest numbers multiply to more than allowed.
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
    """The integers in nested plain values."""
    if isinstance(item, int):
        yield item
    elif isinstance(item, dict | list | tuple):
        for part in item.values() if isinstance(item, dict) else item:
            yield from _numbers(part)


def load_scorer(folder: Path, card: Card, name: str) -> Scorer:
    """The fusion model of a folder for scoring, in its form without torch if there is one.

    Raises as ``load_network``.
    """
    without_torch = f"msapipe.fusion._{card.use}_numpy"
    if card.use.isidentifier() and find_spec(without_torch) is not None:
        form = import_module(without_torch)
        if card.version == form.VERSION:
            from safetensors import SafetensorError
            from safetensors.numpy import load_file

            file = folder / card.weights.file
            try:
                return cast("Scorer", form.Scorer(load_file(file), card.dims, **card.params))
            except (TypeError, ValueError, SafetensorError, OSError) as error:
                reason = " ".join(str(error).split())
                raise WeightsError(f"{file} does not fit {card.use}, or model.yaml does not: {reason}") from error
    return InTorch(load_network(folder, card, name), card.dims)


class InTorch:
    """A torch network in eval mode that takes and returns plain arrays."""

    def __init__(self, network: FusionModel, dims: Mapping[str, int]) -> None:
        self._network, self._dims, self.by_video = network, dims, network.by_video

    def __call__(self, clips: Sequence[Mapping[str, FeatureSequence]], without: str | None = None) -> Scores:
        """Score, interval and each modality's own score."""
        import torch

        from msapipe.fusion._base import collate

        batch = collate(clips, self._dims)
        batch.video = torch.zeros(len(batch), dtype=torch.int64)
        with torch.inference_mode():
            output = self._network(batch if without is None else batch.without(without))
        return Scores(
            output.score.double().numpy(),
            None if output.interval is None else output.interval.double().numpy(),
            {name: part.double().numpy() for name, part in output.unimodal.items()},
        )
