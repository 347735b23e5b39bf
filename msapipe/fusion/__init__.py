"""Fusion models. One file per paper, named after the model.

Only this package and train/ import torch at module level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msapipe.registry import Registry

if TYPE_CHECKING:
    from msapipe.fusion._base import FusionModel


def fusion_models() -> Registry[FusionModel]:
    """The registry of fusion models; imports torch."""
    from msapipe.fusion._base import FusionModel

    base: type[FusionModel] = FusionModel  # type: ignore[type-abstract]  # the registry instantiates none
    return Registry("fusion model", __name__, base, "msapipe.fusion")
