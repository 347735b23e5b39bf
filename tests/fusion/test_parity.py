"""What each baseline can tell by construction, on data whose answer is known: positive arms and controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from msapipe.fusion._aligned import last_step
from msapipe.fusion._base import Batch, absolute_error
from msapipe.fusion._subnet import Subnets, joined
from msapipe.fusion.lf_dnn import LfDnn
from msapipe.fusion.lmf import Lmf
from msapipe.fusion.mfn import Mfn
from msapipe.fusion.sf import Sf
from msapipe.fusion.tfn import Tfn, outer

pytestmark = pytest.mark.slow

NAMES = ("text", "audio", "vision")
DIMS = dict.fromkeys(NAMES, 8)
HIDDEN = (16, 16, 16)


def signs(count: int, random: torch.Generator, names: Sequence[str] = NAMES) -> Batch:
    """Every modality is a random sign along a direction of its own, with noise; the label is the product of signs."""
    directions = torch.randn(len(NAMES), 8, generator=torch.Generator().manual_seed(99))
    drawn = torch.randint(0, 2, (count, len(names)), generator=random) * 2.0 - 1
    values, mask = {}, {}
    for i, name in enumerate(names):
        noise = 0.3 * torch.randn(count, 8, generator=random)
        values[name] = (drawn[:, i : i + 1] * directions[i] + noise).unsqueeze(1)
        mask[name] = torch.ones(count, 1, dtype=torch.bool)
    return Batch(values, mask, labels={"M": drawn.prod(dim=1)})


def rows(batch: Batch, which: Tensor) -> Batch:
    return Batch(
        {name: part[which] for name, part in batch.values.items()},
        {name: part[which] for name, part in batch.mask.items()},
        labels={"M": batch.labels["M"][which]},
    )


class Found(NamedTuple):
    """Share of right signs and mean absolute error on clips that were not trained on."""

    right: float
    error: float


def learned(
    build: Callable[[], nn.Module],
    score: Callable[[nn.Module, Batch], Tensor],
    draw: Callable[[int, torch.Generator], Batch],
    seed: int = 0,
    steps: int = 1000,
) -> Found:
    """What comes of training on 2000 clips, on 2000 others."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    train, test = draw(2000, random), draw(2000, random)
    model = build().train()
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(steps):
        batch = rows(train, torch.randint(0, 2000, (128,), generator=random))
        optimiser.zero_grad()
        absolute_error(score(model, batch), batch.labels["M"]).backward()
        optimiser.step()
    with torch.no_grad():
        said = score(model.eval(), test)
        label = test.labels["M"]
        return Found(float((said.sign() == label).float().mean()), float((said - label).abs().mean()))


def read(model: nn.Module, batch: Batch) -> Tensor:
    return model(batch).score


class Readout(nn.Module):
    """One linear layer over what ``fuse`` makes of the sub-networks' vectors."""

    def __init__(self, fuse: Callable[[dict[str, Tensor]], Tensor], width: int) -> None:
        super().__init__()
        self.subnets = Subnets(DIMS, HIDDEN, 16, 0.0)
        self.fuse = fuse
        self.linear = nn.Linear(width, 1)

    def forward(self, batch: Batch) -> Tensor:
        return self.linear(self.fuse(self.subnets(batch)))[:, 0]


def apply(model: nn.Module, batch: Batch) -> Tensor:
    return model(batch)


# A product of signs is orthogonal to every sum over modalities: the error of a sum is at least 1, that of saying 0.
# Its signs may still be right for six of the eight combinations: they are no gate for a linear layer alone.
NOTHING_LEARNED = 0.95


def test_an_additive_readout_cannot_tell_a_product() -> None:
    additive = learned(lambda: Readout(joined, 48), apply, signs)
    assert additive.right <= 0.56
    assert additive.error >= NOTHING_LEARNED
    assert learned(lambda: Sf(DIMS, units=0), read, signs).error >= NOTHING_LEARNED


def test_a_linear_readout_of_the_outer_product_can() -> None:
    assert learned(lambda: Readout(lambda vectors: outer(vectors.values()), 17**3), apply, signs).right >= 0.97


def test_tfn() -> None:
    def build() -> Tfn:
        return Tfn(DIMS, hidden=HIDDEN, text_out=16, units=16, dropout=0.0, post_dropout=0.0)

    assert learned(build, read, signs).right >= 0.97


def test_tfn_of_two_modalities() -> None:
    dims = {"audio": 8, "vision": 8}

    def build() -> Tfn:
        return Tfn(dims, hidden=HIDDEN, units=16, dropout=0.0, post_dropout=0.0)

    found = learned(build, read, lambda count, random: signs(count, random, ("audio", "vision")))
    assert found.right >= 0.97


def test_lmf_with_the_best_of_three_seeds() -> None:
    found = []
    for seed in range(3):
        model = partial(Lmf, DIMS, hidden=(32, 16, 16), rank=4, dropout=0.0)
        found.append(learned(model, read, signs, seed).right)
        if found[-1] >= 0.97:
            return
    pytest.fail(f"no seed tells the product: {found}")


def test_lf_dnn() -> None:
    def build() -> LfDnn:
        return LfDnn(DIMS, hidden=HIDDEN, text_out=16, units=32, dropout=0.0, post_dropout=0.0)

    assert learned(build, read, signs).right >= 0.95


def events(count: int, random: torch.Generator) -> Batch:
    """Twelve steps of noise; a sign in audio at step 3 and one in vision at step 9, whose product is the label."""
    drawn = torch.randint(0, 2, (count, 2), generator=random) * 2.0 - 1
    values = {name: 0.1 * torch.randn(count, 12, 4, generator=random) for name in NAMES}
    values["audio"][:, 3, 0] += drawn[:, 0]
    values["vision"][:, 9, 0] += drawn[:, 1]
    mask = {name: torch.ones(count, 12, dtype=torch.bool) for name in NAMES}
    return Batch(values, mask, labels={"M": drawn.prod(dim=1)})


class ThreeLstms(nn.Module):
    """An LSTM per modality, and one linear layer over their last states."""

    def __init__(self) -> None:
        super().__init__()
        self.lstms = nn.ModuleDict({name: nn.LSTM(4, 16, batch_first=True) for name in NAMES})
        self.linear = nn.Linear(48, 1)

    def forward(self, batch: Batch) -> Tensor:
        last = [last_step(lstm(batch.values[name])[0], batch.mask[name]) for name, lstm in self.lstms.items()]
        return self.linear(torch.cat(last, dim=1))[:, 0]


def test_mfn_remembers_across_modalities_and_time() -> None:
    dims = dict.fromkeys(NAMES, 4)

    def build() -> Mfn:
        return Mfn(dims, hidden=HIDDEN, memory=16, retain=(32, 0.0), update=(32, 0.0), attention=(32, 0.0))

    assert learned(build, read, events).right >= 0.9
    control = learned(ThreeLstms, apply, events)
    assert control.right <= 0.6
    assert control.error >= NOTHING_LEARNED
