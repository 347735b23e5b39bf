from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from msapipe.fusion._attention import Dropout, Encoder
from msapipe.fusion._stacked import apply_each


def encoders(*rates: float) -> nn.ModuleDict:
    torch.manual_seed(0)
    made = {f"of_{n}": Encoder(6, 2, 2, dropout=Dropout(attention=rate)) for n, rate in enumerate(rates)}
    return nn.ModuleDict(made)


def inputs(steps: int, seed: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(3, steps, 6, generator=random), torch.arange(steps) < torch.tensor([[steps], [2], [0]])


def test_each_is_as_by_itself_with_its_gradients() -> None:
    together = encoders(0.0, 0.0, 0.0)
    alone = copy.deepcopy(together)
    given = {"of_0": inputs(5, 0), "of_1": inputs(7, 1), "of_2": inputs(5, 2)}
    found = apply_each(together, given)
    assert list(found) == list(given)
    for name, parts in given.items():
        expected = alone[name](*parts)
        torch.testing.assert_close(found[name], expected)
        expected.square().sum().backward()
    torch.stack([part.square().sum() for part in found.values()]).sum().backward()
    for ours, theirs in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_each_drops_by_its_own_rate_and_its_own_random_numbers() -> None:
    dropping = encoders(0.5, 0.0, 0.5).train()
    dropping["of_2"].load_state_dict(dropping["of_0"].state_dict())
    same = inputs(9, 0)
    found = apply_each(dropping, dict.fromkeys(dropping, same))
    torch.testing.assert_close(found["of_1"], dropping["of_1"].eval()(*same))
    assert not found["of_0"].equal(found["of_2"])
    assert not torch.allclose(found["of_0"], dropping["of_0"].eval()(*same))
