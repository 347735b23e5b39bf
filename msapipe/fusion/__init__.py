"""Fusion models. One file per paper; the name of the file is the name of the model.

This is the only room beside train/ in which torch is imported when a module is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msapipe.registry import Registry

if TYPE_CHECKING:
    from msapipe.fusion._base import FusionModel


def fusion_models() -> Registry[FusionModel]:
    """The registry of fusion models; imports torch."""
    from msapipe.fusion._base import FusionModel

    base: type[FusionModel] = FusionModel  # type: ignore[type-abstract]  # the registry hands out classes, it makes none
    return Registry("fusion model", __name__, base, "msapipe.fusion")
