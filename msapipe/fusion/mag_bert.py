"""BERT whose word states are shifted, between two layers, by audio and vision at the words.

Rahman et al., "Integrating Multimodal Information in Large Pretrained Transformers" (2020). MAG-BERT.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msapipe.fusion._base import Preset
from msapipe.fusion._mag import Mag


class MagBert(Mag):
    """``_mag.Mag`` with a BERT, and the gate after its embedding."""

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
        "mosi": Preset("MMSA, config_regression.json", {"lr": 2e-5, "gate_dropout": 0.3, "batch": 32}),
        "mosei": Preset("MMSA, config_regression.json", {"lr": 1e-5, "gate_dropout": 0.2, "batch": 32}),
        "sims": Preset("MMSA, config_regression.json", {"lr": 5e-5, "gate_dropout": 0.1, "batch": 32}),
    }
    family = "bert"
    usual_layer = 0
