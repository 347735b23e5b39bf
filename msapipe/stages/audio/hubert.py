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

    layers: "last", the network's output; i, the output of transformer layer i (0: input of the first layer, negative:
    from the end); the last layer's index means the network's output, after its final layer norm if it has one. A list
    of indices: their mean. Other values are an error in ``load``.

    Row i is computed from the 25 ms starting at i * 20 ms and covers [20 i, 20 i + 20) ms, the last one up to the end
    of the sound; sound shorter than 25 ms is zero-padded to one row. valid: the mean square of these 25 ms is at least
    ``floor_db`` dB of full scale.

    Sound of at most ``chunk_seconds`` is processed whole, as by transformers (within 1e-5). Longer sound is processed
    in windows of that length, of which ``overlap_seconds`` on both sides are context and discarded; memory then stays
    constant. Only attention is limited to the window, and a note says so; everything else, including the group norm of
    base checkpoints, is as in the whole sound. With the defaults, rows of random networks then differ (root mean
    square) by 0.04 % after 3 layers and by 2.4 % after 12; the difference was not measured for trained networks.

    dtype: bfloat16 takes about a third of the time on a CPU with AMX; features differ by at most 3 % (norm of the
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
