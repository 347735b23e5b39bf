"""XLNet whose word states are shifted, between two layers, by audio and vision at the words.

Rahman et al., "Integrating Multimodal Information in Large Pretrained Transformers" (2020). MAG-XLNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msapipe.fusion._base import Preset
from msapipe.fusion._mag import Mag


class MagXlnet(Mag):
    """``_mag.Mag`` with an XLNet, and the gate after its first layer."""

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Rahman et al.",
        "year": 2020,
        "inputs": "tokens, audio, vision",
        "aligned": "yes",
        "tasks": "M",
        "parameters": 215_169,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset("the authors' own code", {"lr": 1e-5, "gate_dropout": 0.5, "batch": 48, "epochs": 40}),
    }
    family = "xlnet"
    usual_layer = 1
