from __future__ import annotations

import torch

from msapipe.fusion._base import Batch
from msapipe.fusion.marn import Marn
from tests.fusion._clips import DIMS


def clips() -> Batch:
    torch.manual_seed(1)
    mask = torch.tensor([[True] * 3, [True, True, False]])
    values = {name: torch.randn(2, 3, width) * mask.unsqueeze(2) for name, width in DIMS.items()}
    return Batch(values, dict.fromkeys(DIMS, mask))


def model(**params: bool) -> Marn:
    torch.manual_seed(0)
    return Marn(DIMS, hidden=(4, 3, 2), compressed=(2, 2, 2), heads=2, units=5, **params).eval()


def step_by_step(marn: Marn, batch: Batch, clip: int, steps: int, softmax: bool) -> torch.Tensor:
    """The paper's equations as they stand, a clip and a step at a time."""
    state = {name: torch.zeros(1, size) for name, size in zip(DIMS, (4, 3, 2), strict=True)}
    cell = {name: torch.zeros(1, size) for name, size in zip(DIMS, (4, 3, 2), strict=True)}
    z = torch.zeros(1, 6)
    for step in range(steps):
        told = z.softmax(1) if softmax else z
        for name, part in marn.cells.items():
            x = batch.values[name][clip, step : step + 1]
            gates = part.enter(x) + part.keep(state[name]) + part.told(told)  # type: ignore[operator]
            f, i, o, c = gates.chunk(4, dim=1)
            cell[name] = f.sigmoid() * cell[name] + i.sigmoid() * c.tanh()
            state[name] = o.sigmoid() * cell[name].tanh()
        whole = torch.cat(list(state.values()), dim=1)
        weight = marn.block.attend(whole)[0].view(2, 9).softmax(dim=1)
        seen = weight * whole
        parts = {"text": seen[:, :4], "audio": seen[:, 4:7], "vision": seen[:, 7:]}
        z = torch.cat([marn.block.reduce[name](part.reshape(1, -1)) for name, part in parts.items()], dim=1)
    return torch.cat([z, *state.values()], dim=1)


def test_it_is_the_paper_step_by_step_up_to_the_last_valid_one() -> None:
    batch = clips()
    for softmax in (False, True):
        marn = model(softmax=softmax)
        with torch.inference_mode():
            out = marn(batch)
            for clip, steps in ((0, 3), (1, 2)):
                expected = step_by_step(marn, batch, clip, steps, softmax)
                assert torch.allclose(out.features["fused"][clip], expected[0], atol=1e-6)
                assert torch.allclose(out.score[clip], marn.score(expected)[0, 0], atol=1e-6)
