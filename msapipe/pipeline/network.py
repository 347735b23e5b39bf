"""A model folder's numbers in its network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msapipe.errors import FeatureMismatch, WeightsError
from msapipe.pipeline.card import Card

if TYPE_CHECKING:
    from msapipe.fusion._base import FusionModel


def load_network(folder: Path, card: Card, name: str) -> FusionModel:
    """The fusion model of a folder, in eval mode on the CPU; its file was checked when the card was read.

    Raises FeatureMismatch when another version of the code made it, WeightsError when the numbers do not fit.
    """
    from safetensors.torch import load_file

    from msapipe.fusion import fusion_models

    cls = fusion_models().get(card.use)
    if cls.version != card.version:
        raise FeatureMismatch(
            f"model {name}: made by version {card.version} of {card.use}, this is version {cls.version}; train it anew"
        )
    # YAML has no tuples.
    params = {key: tuple(value) if isinstance(value, list) else value for key, value in card.params.items()}
    network = cls(card.dims, **params)
    try:
        network.load_state_dict(load_file(folder / card.weights.file), strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{folder / card.weights.file} does not fit {card.use}: {reason}") from error
    return network.eval()
