"""XLNet whose words are shifted, between two layers, by what was heard and seen at them.

Rahman et al., "Integrating Multimodal Information in Large Pretrained Transformers" (2020). MAG-XLNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msapipe.fusion._base import Preset
from msapipe.fusion._mag import Mag


class MagXlnet(Mag):
    """``_mag.Mag`` with an XLNet, the gate behind its first layer."""

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

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        language_model: str = "",
        language_config: str = "",
        text_width: int = 64,
        text_layers: int = 3,
        text_heads: int = 4,
        insert_layer: int = 1,
        strength: float = 1.0,
        gate_dropout: float = 0.3,
        dropout: float = 0.1,
        pooler: bool = True,
        aligned: bool = True,
        lr: float = 2e-5,
        lr_other: float = 0.0,
    ) -> None:
        super().__init__(dims)
        named = bool(language_model or language_config)
        self.add_branches(
            language_model,
            language_config,
            (text_width, text_layers, text_heads),
            insert_layer,
            strength,
            gate_dropout,
            dropout,
            pooler,
            aligned,
            (lr, lr_other or (lr if named else 1e-3)),
        )
