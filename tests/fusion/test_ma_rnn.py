from __future__ import annotations

import torch

from msapipe.fusion.ma_rnn import MaRnn
from tests.fusion._clips import DIMS, labelled


def test_modalities_meet_and_clips_attend_to_their_video() -> None:
    torch.manual_seed(0)
    model, batch = MaRnn(DIMS, units=6).eval(), labelled(count=3)
    batch.video = torch.zeros(3, dtype=torch.int64)
    with torch.inference_mode():
        fused = model(batch).features["fused"]
        states = fused[:, 12:]
        assert torch.allclose(fused[:, :12], ((states @ states.T).softmax(1) @ states) * states, atol=1e-6)
        before = model(batch).score
        batch.values["audio"] = batch.values["audio"].flip(0)
        batch.mask["audio"] = batch.mask["audio"].flip(0)
        assert not torch.allclose(model(batch).score, before, atol=1e-6)
