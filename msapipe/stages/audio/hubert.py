"""Hidden states of HuBERT, 50 rows a second (GPU or CPU)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from msapipe.stages.audio._hidden_states import HiddenStates
from msapipe.weights import Weights
from msapipe.weights.encoders import CHINESE_HUBERT, HUBERT, on_hub


@dataclass
class Hubert(HiddenStates):
    """Hidden states of a HuBERT checkpoint: (T, 768) for base, (T, 1024) for large checkpoints; one row every 20 ms.

    Hsu et al. (2021). Values are those of transformers, without unit or fixed range. Columns: hubert_0...

    Parameters, rows and windows are those of HiddenStates.
    """

    weights: ClassVar[tuple[Weights, ...]] = (
        HUBERT,
        on_hub("facebook/hubert-large-ll60k", "ff022d095678a2995f3c49bab18a96a9e553f782", "Apache-2.0"),
        CHINESE_HUBERT,
        on_hub("TencentGameMate/chinese-hubert-large", "90cb660492214f687e60f5ca509b20edae6e75bd", "MIT"),
    )
    architecture: ClassVar[str] = "HubertModel"

    checkpoint: str = "facebook/hubert-base-ls960"
