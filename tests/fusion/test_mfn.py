from __future__ import annotations

import torch

from msapipe.fusion._base import Batch
from msapipe.fusion.mfn import Mfn

DIMS = {"text": 6, "audio": 5, "vision": 4}


def model() -> Mfn:
    torch.manual_seed(0)
    return Mfn(DIMS, hidden=(4, 3, 2), memory=5).eval()


def clips() -> Batch:
    """A clip of four steps and one of two, aligned."""
    torch.manual_seed(1)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    values = {name: torch.randn(2, 4, width) * mask.unsqueeze(2) for name, width in DIMS.items()}
    return Batch(values, {name: mask for name in DIMS})


def step_by_step(mfn: Mfn, batch: Batch, clip: int, steps: int) -> torch.Tensor:
    """The equations of the paper as they stand, a clip and a step at a time."""
    states = {name: (torch.zeros(1, cell.hidden_size),) * 2 for name, cell in mfn.cells.items()}
    memory = torch.zeros(1, 5)
    for step in range(steps):
        now = {name: cell(batch.values[name][clip, step : step + 1], states[name]) for name, cell in mfn.cells.items()}
        change = torch.cat([*(states[name][1] for name in DIMS), *(now[name][1] for name in DIMS)], dim=1)
        attended = torch.softmax(mfn.attention(change), dim=1) * change
        both = torch.cat([attended, memory], dim=1)
        kept, added = torch.sigmoid(mfn.retain(both)), torch.sigmoid(mfn.update(both))
        memory = kept * memory + added * torch.tanh(mfn.proposal(attended))
        states = now
    return torch.cat([*(states[name][0] for name in DIMS), memory], dim=1)


def test_it_is_the_paper_step_by_step_up_to_the_last_valid_one() -> None:
    mfn, batch = model(), clips()
    with torch.inference_mode():
        out = mfn(batch)
        for clip, steps in ((0, 4), (1, 2)):
            expected = step_by_step(mfn, batch, clip, steps)
            assert torch.allclose(out.features["fused"][clip], expected[0], atol=1e-6)
            assert torch.allclose(out.score[clip], mfn.out(expected)[0, 0], atol=1e-6)
    assert torch.allclose(out.diagnostics["attention"].sum(1), torch.ones(2))
    assert out.diagnostics["attention"].shape == (2, 2 * 9)


def test_shut_gates_leave_the_memory_empty() -> None:
    mfn = model()
    with torch.inference_mode():
        mfn.update[3].weight.zero_()
        mfn.update[3].bias.fill_(-100.0)
        assert not mfn(clips()).features["fused"][:, 9:].any()


def test_audio_and_vision_are_read_as_sequences() -> None:
    mfn, batch = model(), clips()
    with torch.inference_mode():
        before = mfn(batch).score
        batch.values["audio"] = batch.values["audio"][:, [1, 0, 2, 3]]
        assert not torch.allclose(mfn(batch).score, before, atol=1e-6)
