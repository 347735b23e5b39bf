"""Symmetric mutual promotion: in each pair of modalities, both attend to each other on a common time grid.

Zhu and Yu, multi-channel features and symmetric mutual promotion feature fusion for sentiment analysis.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from msapipe.errors import ConfigError
from msapipe.fusion._aligned import lengths
from msapipe.fusion._attention import Attend, Dropout, FeedForward, sine_positions
from msapipe.fusion._base import (
    Batch,
    FusionModel,
    Group,
    Output,
    Phase,
    Preset,
    absolute_error,
    masked_mean,
    mean_over,
    neutral_band,
    present,
)
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._packed import packed

# Pairs of eqs. 20 to 22, vision first.
ORDER = ("vision", "audio", "text")


class Branch(nn.Module):
    """One modality: (B, T, D), (B, T) to its steps X (B, T, width) and its own feature F (B, width).

    bilstm: use a BiLSTM on the projected steps and additive attention, otherwise the projection and the mean.
    pooled: whether F is computed.   X is zero where masked, F if the modality is missing.
    """

    def __init__(self, dim: int, width: int, dropout: float, bilstm: bool, pooled: bool) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(dim, width), nn.Dropout(dropout))
        self.lstm = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True) if bilstm else None
        additive = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False))
        self.weigh = additive if bilstm and pooled else None

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """X and F; masked steps before the last valid one enter the BiLSTM as projected zeros."""
        steps = self.project(values)
        if self.lstm is not None:
            steps, _ = packed(self.lstm, steps, mask)
        steps = steps.masked_fill(~mask.unsqueeze(-1), 0.0)
        if self.weigh is None:
            return steps, masked_mean(steps, mask)
        energy = self.weigh(steps)[:, :, 0].masked_fill(~mask, -torch.inf)
        energy = energy.masked_fill(~present(mask).unsqueeze(1), 0.0)
        return steps, (energy.softmax(dim=1).unsqueeze(-1) * steps).sum(dim=1)


class Promotion(nn.Module):
    """LSMP, or RSMP (eqs. 1 to 18): x attends to y, then to itself; keeps (B, T, width), zero where masked."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        rates = Dropout(attention=dropout, hidden=dropout, residual=dropout)
        self.across = Attend(width, heads, norm="post", dropout=rates)
        self.within = Attend(width, heads, norm="post", dropout=rates)
        self.feed = FeedForward(width, norm="post", dropout=rates)

    def forward(self, x: Tensor, mask: Tensor, y: Tensor, y_mask: Tensor) -> Tensor:
        """h1 = LN(A(x; y) + x), h2 = LN(A(h1) + h1), h3 = LN(FFN(h2) + h2)."""
        h1 = self.across(x, y_mask, y)
        return self.feed(self.within(h1, mask)).masked_fill(~mask.unsqueeze(-1), 0.0)  # type: ignore[no-any-return]


class Pair(nn.Module):
    """Two modalities on one grid (B, T, width) to their joint steps (B, T, width) and mask (eq. 19).

    tied: both branches share their weights.
    """

    def __init__(self, width: int, heads: int, depth: int, dropout: float, tied: bool, kernel: int) -> None:
        super().__init__()
        self.left = nn.ModuleList(Promotion(width, heads, dropout) for _ in range(depth))
        self.right = None if tied else nn.ModuleList(Promotion(width, heads, dropout) for _ in range(depth))
        self.join = nn.Conv1d(2 * width, width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, x_mask: Tensor, y: Tensor, y_mask: Tensor) -> tuple[Tensor, Tensor]:
        """The joint steps; valid where either modality is."""
        right = self.left if self.right is None else self.right
        for forth, back in zip(self.left, right, strict=True):
            x, y = forth(x, x_mask, y, y_mask), back(y, y_mask, x, x_mask)
        joined: Tensor = self.join(torch.cat([x, y], dim=2).transpose(1, 2)).transpose(1, 2)
        return joined, x_mask | y_mask


class Smp(FusionModel):
    """(B, T_m, D_m) per modality to scores (B,).

    Each modality's own feature F_m (``Branch``) and each pair's (``Pair``, pooled over time), every one (B, width),
    are concatenated before a linear score. One modality has its own feature only, two have one pair.
    steps: longer sequences are subsampled evenly to this many steps (0: never); shorter ones are padded.
    depth: number of promotion blocks.   positions: sine positions before the blocks.   kernel: odd, of the convolution
    that joins a pair.   pool: of a pair over time.   pred_inputs: own features and pairs, or only one of the two.
    tie_branches: both directions of a pair share their weights.
    task: "regression" has a linear output and absolute error; "classification" has three classes (negative, neutral up
    to ``neutral`` on either side of 0, positive) and cross-entropy, with the probability of positive minus that of
    negative as the score; "both" learns both and scores by regression. The paper's equation 23 is classification, its
    tables need regression. With classes, ``Output.classes`` has their logits (B, 3).
    neutral: in training, that of the label scale, 0.1 on [-1, 1], 0.5 on wider ones, as in three-class accuracy.

    Unlike the paper, padding is masked; equation 19's "L + R" is read as concatenation, its branch encoder, which has
    no equation, as a BiLSTM with additive attention, and its sublayers as post-norm.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Zhu, Yu",
        "inputs": "text, audio, vision",
        "aligned": "one grid",
        "tasks": "M",
        "parameters": 2_136_705,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset("Zhu and Yu, section IV", {"steps": 32, "batch": 64, "lr": 1e-5, "epochs": 100, "neutral": 0.0}),
        "sims": Preset(
            "Zhu and Yu, section IV; classes of CH-SIMS",
            {"steps": 32, "batch": 64, "lr": 1e-5, "epochs": 100, "neutral": 0.1},
        ),
    }

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: int = 128,
        heads: int = 4,
        depth: int = 1,
        steps: int = 32,
        dropout: float = 0.1,
        positions: bool = True,
        kernel: int = 1,
        pool: Literal["mean", "max"] = "mean",
        branch_encoder: Literal["bilstm_attn", "linear"] = "bilstm_attn",
        tie_branches: bool = False,
        pred_inputs: Literal["all", "fused_only", "intra_only"] = "all",
        task: Literal["regression", "classification", "both"] = "regression",
        neutral: float = 0.0,
    ) -> None:
        super().__init__(dims)
        check_sizes(width=width, heads=heads, depth=depth, kernel=kernel)
        check_dropouts(dropout=dropout)
        self.names = [name for name in ORDER if name in dims]
        _check(len(dims), width, steps, kernel, pred_inputs, neutral)
        self.steps, self.positions, self.pool, self.task, self.neutral = steps, positions, pool, task, neutral
        self.own = pred_inputs != "fused_only"
        pairs = [] if pred_inputs == "intra_only" else list(combinations(self.names, 2))
        bilstm = branch_encoder == "bilstm_attn"
        self.branches = nn.ModuleDict(
            {name: Branch(dims[name], width, dropout, bilstm, self.own) for name in self.names}
        )
        self.pairs = nn.ModuleDict(
            {f"{x}_{y}": Pair(width, heads, depth, dropout, tie_branches, kernel) for x, y in pairs}
        )
        size = width * (len(pairs) + (len(self.names) if self.own else 0))
        self.drop = nn.Dropout(dropout)
        self.score = None if task == "classification" else nn.Linear(size, 1)
        self.classes = None if task == "regression" else nn.Linear(size, 3)
        self.class_edges = () if task == "regression" else (-neutral, neutral)
        self.scored_by_classes = task == "classification"

    @classmethod
    def params_of(cls, scale: tuple[float, float]) -> dict[str, Any]:
        """The neutral band of the scale."""
        return {"neutral": neutral_band(scale)}

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        values, mask = on_one_length(self.standardized(batch), self.names, self.steps)
        encoded = {name: self.branches[name](values[name], mask[name]) for name in self.names}
        features = {name: own for name, (_, own) in encoded.items()} if self.own else {}
        for names, pair in self.pairs.items():
            x, y = names.split("_")
            features[names] = self._pooled(*pair(*self._steps(x, encoded, mask), *self._steps(y, encoded, mask)))
        fused = self.drop(torch.cat(list(features.values()), dim=1))
        features["fused"] = fused
        classes = None if self.classes is None else self.classes(fused)
        if self.score is not None:
            return Output(score=self.score(fused)[:, 0], features=features, classes=classes)
        negative, _, positive = classes.softmax(dim=1).unbind(1)  # type: ignore[union-attr]
        return Output(score=positive - negative, features=features, classes=classes)

    def _steps(
        self, name: str, encoded: Mapping[str, tuple[Tensor, Tensor]], mask: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """A modality's steps, with positions, and their mask."""
        steps = encoded[name][0]
        return steps + sine_positions(steps) if self.positions else steps, mask[name]

    def _pooled(self, steps: Tensor, mask: Tensor) -> Tensor:
        """Pool over the valid steps, zero without any: (B, T, width), (B, T) to (B, width)."""
        if self.pool == "mean":
            return masked_mean(steps, mask)
        there = present(mask).unsqueeze(1)
        return steps.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(dim=1).masked_fill(~there, 0.0)

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Absolute error, cross-entropy of the three classes, or their sum, over the labelled clips."""
        label = batch.labels["M"]
        total = label.new_zeros(())
        if self.score is not None:
            total = total + absolute_error(output.score, label)
        if output.classes is not None:
            each = functional.cross_entropy(output.classes, self._class(label), reduction="none")
            total = total + mean_over(each, label.isfinite())
        return total

    def _class(self, label: Tensor) -> Tensor:
        """0 negative, 1 neutral, 2 positive: (B,) to int64 (B,); the upper edge is neutral, as in CH-SIMS."""
        edges = label.new_tensor([-self.neutral, self.neutral])
        if self.neutral:
            return torch.bucketize(label.nan_to_num(), edges)
        return label.nan_to_num().sign().long() + 1

    def phases(self) -> tuple[Phase, ...]:
        """The paper's settings; its learning rate is slow, ``lr=1e-4`` learns faster."""
        monitor = "loss" if self.task == "classification" else "mae"
        return (Phase(groups=(Group(lr=1e-5),), batch=64, clip=None, patience=None, monitor=monitor),)


def on_one_length(batch: Batch, names: list[str], most: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Every modality padded to the same number of steps: name to (B, T, D_m) and to (B, T).

    A clip with more than ``most`` steps (0: no bound) keeps ``most`` of them, from its first to its last valid one.
    """
    values, mask = {}, {}
    for name in names:
        values[name], mask[name] = _thinned(batch.values[name], batch.mask[name], most)
    longest = max(part.shape[1] for part in mask.values())
    for name, part in mask.items():
        missing = longest - part.shape[1]
        values[name] = functional.pad(values[name], (0, 0, 0, missing))
        mask[name] = functional.pad(part, (0, missing))
    return values, mask


def _thinned(values: Tensor, mask: Tensor, most: int) -> tuple[Tensor, Tensor]:
    if not 0 < most < mask.shape[1]:
        return values, mask
    ends = lengths(mask).unsqueeze(1)
    step = torch.arange(most, device=mask.device)
    even = (step * (ends - 1) / max(1, most - 1)).round().long()
    at = torch.where(ends > most, even, step)
    return values.gather(1, at.unsqueeze(-1).expand(-1, -1, values.shape[2])), mask.gather(1, at)


def _check(modalities: int, width: int, steps: int, kernel: int, pred_inputs: str, neutral: float) -> None:
    if width % 2:
        raise ConfigError(f"width: found {width}, expected an even number, half of it for each direction")
    if steps < 0:
        raise ConfigError(f"steps: found {steps}, expected 0 or more")
    if kernel % 2 == 0:
        raise ConfigError(f"kernel: found {kernel}, expected an odd number")
    if neutral < 0:
        raise ConfigError(f"neutral: found {neutral:g}, expected 0 or more")
    if pred_inputs == "fused_only" and modalities < 2:
        raise ConfigError("pred_inputs=fused_only needs at least two of text, audio, vision: one has no pair")
