"""Hidden states of HuBERT, 50 rows a second (GPU or CPU)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from msapipe.stages.audio._hidden_states import HiddenStates
from msapipe.weights import Weights
from msapipe.weights.encoders import CHINESE_HUBERT, HUBERT, on_hub


@dataclass
class Hubert(HiddenStates):
    """Hidden states of a HuBERT checkpoint: (T, 768) with base ones, (T, 1024) with large ones; one row every 20 ms.

    Hsu et al. (2021). Numbers are those of transformers, without unit or fixed range. Columns: hubert_0...

    layers: "last", the output of the network; i, what transformer layer i gives (0: what enters the first one,
    negative: from the end); the last layer's index is the network's output, after its last layer norm where it has
    one. A list of indices: their mean. Others are an error in ``load``.

    Row i is made of 25 ms from i * 20 ms on and stands for [20 i, 20 i + 20) ms, the last one up to the end of the
    sound; sound shorter than 25 ms is filled up with zeros to one row. valid: the mean square of these 25 ms is at
    least ``floor_db`` dB of full scale.

    Sound of at most ``chunk_seconds`` is heard whole: as transformers does, but for rounding (1e-5). Longer sound is
    heard in windows of that length, of which ``overlap_seconds`` on both sides are context and thrown away; memory then
    stays flat. All but attention is as in the whole sound, the group norm of base checkpoints included; attention sees
    its window only, and a note says so. With the defaults, rows of random networks then differ (root mean square) by
    0.04 % after 3 layers and by 2.4 % after 12; how far those of a trained network do is not measured.

    dtype: bfloat16 takes about a third of the time on a CPU with AMX; the numbers are off by 3 % at most (norm of the
    difference over norm, random weights: 1.5 %).
    """

    weights: ClassVar[tuple[Weights, ...]] = (
        HUBERT,
        on_hub("facebook/hubert-large-ll60k", "ff022d095678a2995f3c49bab18a96a9e553f782", "Apache-2.0"),
        CHINESE_HUBERT,
        on_hub("TencentGameMate/chinese-hubert-large", "90cb660492214f687e60f5ca509b20edae6e75bd", "MIT"),
    )
    architecture: ClassVar[str] = "HubertModel"

    checkpoint: str = "facebook/hubert-base-ls960"
