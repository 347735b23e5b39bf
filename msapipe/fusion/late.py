"""Late fusion: the score from each modality is weighted by its confidence, by Gaussian conditioning.

Baltrusaitis, Ahuja and Morency, "Multimodal Machine Learning: A Survey and Taxonomy" (2019), section 5.1, call it
model-agnostic late fusion. The weights are those of conditioning a Gaussian: Bishop, "Pattern Recognition and Machine
Learning" (2006), section 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._base import (
    Batch,
    Batches,
    FusionModel,
    Output,
    absolute_error,
    masked_mean,
    masked_std,
    mean_over,
    present,
)
from msapipe.fusion._late_numpy import LARGEST, STRAIGHT, SUREST, VERSION
from msapipe.fusion._scores import LIMIT

# Half-width of a 90% interval of a normal distribution, in standard deviations; initial reach of the interval.
NINE_IN_TEN = 1.6449

# Weight of the likelihoods in the loss relative to the absolute error, which is the evaluation metric.
LIKELIHOOD = 0.3

# Assumed correlation of sentiment and each modality before training.
ASSUMED_CORRELATION = 0.7


class Head(nn.Module):
    """The score from one modality, and its confidence: (B, T, D), (B, T) to (B,), (B,).

    Both are linear in mean and standard deviation over time of every column and the log of the number of valid steps,
    2 D + 1 values, standardised by the head's own statistics.
    """

    center: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width + 1, 1)
        self.trust = nn.Linear(2 * width + 1, 1, bias=False)
        nn.init.zeros_(self.trust.weight)
        self.register_buffer("center", torch.zeros(2 * width + 1))
        self.register_buffer("std", torch.ones(2 * width + 1))

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The score, and an offset to the modality's ``log_trust``."""
        scaled = ((pooled(values, mask) - self.center) / self.std).clamp(-LIMIT, LIMIT)
        said: Tensor = self.linear(scaled)[:, 0]
        trust: Tensor = self.trust(scaled)[:, 0]
        return said, trust


class Late(FusionModel):
    """Expected sentiment given the available modalities, and its uncertainty.

    (B, T_m, D_m) per modality to scores (B,) and intervals (B, 2) in [-limit, limit]. The sentiment M of a clip and the
    latents expressed by its text, voice and face alone are jointly Gaussian, with learned means and covariance, in
    which M correlates positively with each. The head of a modality observes its latent with noise whose variance is the
    latent's divided by exp(``log_trust`` + a linear function of the clip's features, bounded together to +-6). The
    score is E[M | the observations of this clip's heads], exact, in closed form; beyond four fifths of the limit it is
    compressed, so that strong scores still differ. A missing modality is an observation of precision zero; a clip
    without any modality scores the mean.

    calibrated: modalities whose head already gives E[M | its features], whatever its noise (such as a text model
    trained on M); alone, it is the score, unchanged up to four fifths of the limit.   limit: the largest score.
    Output.unimodal is E[M | this head alone].   interval: score -+ ``reach`` standard deviations of M given the heads;
    fewer observations widen it.   features: "fused", the change of the score by each modality (B, modalities); "belief"
    and one per modality, mean and standard deviation of M (B, 2) given all of them and given this one.
    diagnostics: "share", the dependence of the score on each modality's own score (B, modalities); "deviation" (B,).
    Raises ConfigError for a limit that is not positive, or a modality in ``calibrated`` that the model does not read.
    """

    version = VERSION
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Baltrusaitis et al.",
        "year": 2019,
        "inputs": "text, audio, vision",
        "aligned": "no",
        "tasks": "M",
        "parameters": 3_204,
    }
    by_modality = frozenset({"share"})
    standardizes = False
    reach: Tensor

    @classmethod
    def params_of(cls, scale: tuple[float, float]) -> dict[str, float]:
        """The limit is that of the label scale."""
        return {"limit": max(abs(bound) for bound in scale)}

    def __init__(self, dims: Mapping[str, int], limit: float = 3.0, calibrated: tuple[str, ...] = ()) -> None:
        super().__init__(dims)
        if limit <= 0:
            raise ConfigError(f"limit: found {limit}, expected more than 0")
        if unknown := [name for name in calibrated if name not in dims]:
            raise ConfigError(f"calibrated: found {', '.join(unknown)}, this model reads {', '.join(dims)}")
        self.limit = limit
        self.calibrated = tuple(calibrated)
        size = 1 + len(dims)
        self.heads = nn.ModuleDict({name: Head(width) for name, width in dims.items()})
        self.log_trust = nn.Parameter(torch.zeros(len(dims)))
        self.mean = nn.Parameter(torch.zeros(size))
        self.root = nn.Parameter(torch.zeros(size, size))
        self.register_buffer("reach", torch.tensor(NINE_IN_TEN))
        self.assume(torch.zeros(size), (limit / 2) ** 2 * _alike(size))

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        said, trust, there = self._observed(batch)
        mean, covariance = self.mean.double(), self.covariance()
        own = covariance.diagonal()[1:]
        slope = covariance[0, 1:] / own * trust / (1 + trust)  # regression slope of M on one head's observation
        ready = torch.tensor([name in self.calibrated for name in self.dims], device=said.device)
        seen = torch.where(ready, (said - mean[0]) / slope, said - mean[1:]) * there
        weight, variance = _conditioned(covariance, trust, there)
        alone_mean = mean[0] + slope * seen
        alone_variance = covariance[0, 0] - covariance[0, 1:] * slope * there
        expected = mean[0] + (weight * seen).sum(dim=1)
        kind = self.mean.dtype
        features = {"fused": (weight * seen).to(kind), "belief": _belief(expected, variance).to(kind)}
        for i, name in enumerate(self.dims):
            features[name] = _belief(alone_mean[:, i], alone_variance[:, i]).to(kind)
        score, half = self._limited(expected), (self.reach * variance.sqrt()).to(kind)
        bounds = torch.stack([score - half, score + half], dim=1)
        return Output(
            score=score,
            unimodal={name: self._limited(alone_mean[:, i]) for i, name in enumerate(self.dims)},
            features=features,
            diagnostics={
                "share": (weight / slope * there).to(kind).detach(),
                "deviation": variance.sqrt().to(kind).detach(),
            },
            interval=bounds.clamp(-self.limit, self.limit),
        )

    def _observed(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Heads' outputs, their signal-to-noise variance ratios, and which are present: float64 (B, modalities)."""
        found = [self.heads[name](batch.values[name], batch.mask[name]) for name in self.dims]
        said = torch.stack([part[0] for part in found], dim=1).double()
        trust = self.log_trust + torch.stack([part[1] for part in found], dim=1)
        there = torch.stack([present(batch.mask[name]) for name in self.dims], dim=1)
        return said, trust.double().clamp(-SUREST, SUREST).exp(), there.double()

    def _limited(self, value: Tensor) -> Tensor:
        straight = STRAIGHT * self.limit
        beyond = (value.abs() - straight).clamp(min=0)
        rest = self.limit - straight
        drawn_in = value.clamp(-straight, straight) + value.sign() * rest * torch.tanh(beyond / rest)
        return drawn_in.to(self.mean.dtype)

    def covariance(self) -> Tensor:
        """Of M and the latents in the order of ``dims``: float64 (1 + modalities, 1 + modalities)."""
        root = self.root.double()
        positive = torch.eye(len(root), dtype=torch.bool, device=root.device)
        positive[:, 0] = True
        factor = torch.where(positive, root.clamp(-LARGEST, LARGEST).exp(), root.tril(-1))
        return factor @ factor.T

    @torch.no_grad()
    def assume(self, mean: Tensor, covariance: Tensor) -> None:
        """Set the prior mean (1 + modalities,) and covariance (its square), M first, positive definite."""
        factor = torch.linalg.cholesky(covariance.double())
        root = factor.clone()
        root[:, 0] = factor[:, 0].clamp(min=math.exp(-LARGEST)).log()
        root.diagonal().copy_(factor.diagonal().clamp(min=math.exp(-LARGEST)).log())
        self.root.copy_(root)
        self.mean.copy_(mean)

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean absolute error, plus the labels' negative log likelihood given all modalities and given each alone.

        A modality's label (T, A or V), if there is one, is the value of its latent.
        """
        label = batch.labels["M"]
        believed = output.features["belief"]
        parts = []
        for i, name in enumerate(self.dims, 1):
            there = present(batch.mask[name])
            alone = output.features[name]
            parts.append(_unlikeliness(alone, label.masked_fill(~there, math.nan)))
            if (own := batch.labels.get(name[0].upper())) is not None:
                parts.append(_unlikeliness(self._of_latent(alone, i), own.masked_fill(~there, math.nan)))
        error = absolute_error(believed[:, 0], label)  # before limiting, beyond which there is no gradient
        return error + LIKELIHOOD * (_unlikeliness(believed, label) + torch.stack(parts).mean())

    def _of_latent(self, alone: Tensor, i: int) -> Tensor:
        """From a single head's estimate of M, mean and standard deviation (B, 2), to that of its latent ``i``."""
        covariance = self.covariance()
        steeper = covariance[i, i] / covariance[0, i]
        mean = self.mean[i] + steeper * (alone[:, 0] - self.mean[0])
        explained = covariance[0, 0] - alone[:, 1].double() ** 2
        return _belief(mean, covariance[i, i] - steeper**2 * explained).to(alone.dtype)

    def begin(self, phase: str, batches: Batches) -> None:
        """Initialise the heads' standardisation by the training split, and means and covariance by its labels."""
        letters = ["M", *(name[0].upper() for name in self.dims)]
        labels = torch.cat([_labels(batch, letters) for batch in batches()])
        known, overall = (labels[part.isfinite()] for part in (labels.sum(dim=1), labels[:, 0]))
        if len(known) > 10 * len(letters):
            covariance = known.T.cov()
            self.assume(known.mean(0), covariance + 1e-3 * covariance.diagonal().mean() * torch.eye(len(letters)))
        elif len(overall) > 1:
            mean, variance = overall[:, 0].mean(), overall[:, 0].var().clamp(min=1e-4)
            self.assume(mean.repeat(len(letters)), variance * _alike(len(letters)))
        for name, head in self.heads.items():
            rows = torch.cat([pooled(b.values[name], b.mask[name])[present(b.mask[name])] for b in batches()])
            if len(rows) > 1:
                std = rows.std(dim=0)
                head.get_buffer("center").copy_(rows.mean(dim=0))
                head.get_buffer("std").copy_(torch.where(std > 1e-3, std, 1.0))

    def begin_epoch(self, phase: str, epoch: int, batches: Batches) -> None:
        """Set the interval to cover 90% of the training split's labels."""
        far: list[Tensor] = []
        with torch.no_grad():
            for batch in batches():
                mean, deviation = self(batch).features["belief"].T
                far.append((batch.labels["M"] - mean).abs() / deviation)
        known = torch.cat(far)
        known = known[known.isfinite()]
        if len(known):
            self.reach.copy_(torch.quantile(known, 0.9))


def pooled(values: Tensor, mask: Tensor) -> Tensor:
    """Concatenate mean, standard deviation over time, and log(1 + valid steps): (B, T, D), (B, T) to (B, 2 D + 1)."""
    steps = mask.sum(dim=1, keepdim=True).to(values.dtype).log1p()
    return torch.cat([masked_mean(values, mask), masked_std(values, mask), steps], dim=1)


def _conditioned(covariance: Tensor, trust: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (B, n) of the observations in E[M | observations] and conditional variance (B,) of M.

    covariance: (1 + n, 1 + n), M first.   trust: (B, n), variance of a latent over that of its noise.   there: (B, n),
    0 without an observation.   The inverted matrix is the identity plus a covariance, so no trust, however large or
    small, makes it singular.
    """
    scale = (trust / covariance.diagonal()[1:]).sqrt() * there
    inner = scale.unsqueeze(2) * covariance[1:, 1:] * scale.unsqueeze(1)
    inner = inner + torch.eye(trust.shape[1], dtype=trust.dtype, device=trust.device)
    with_m = scale * covariance[0, 1:]
    solved = torch.linalg.solve(inner, with_m)
    return scale * solved, covariance[0, 0] - (with_m * solved).sum(dim=1)


def _belief(mean: Tensor, variance: Tensor) -> Tensor:
    """Stack mean and standard deviation: (B,), (B,) to (B, 2)."""
    return torch.stack([mean, variance.clamp(min=1e-8).sqrt()], dim=1)


def _unlikeliness(belief: Tensor, label: Tensor) -> Tensor:
    """Mean negative log likelihood of labels (B,) under normal distributions (B, 2), without NaN labels."""
    mean, deviation = belief.T
    return mean_over(((label.nan_to_num() - mean) / deviation) ** 2 / 2 + deviation.log(), label.isfinite())


def _alike(size: int) -> Tensor:
    """A correlation matrix with equal, strong correlations."""
    return ASSUMED_CORRELATION + (1 - ASSUMED_CORRELATION) * torch.eye(size)


def _labels(batch: Batch, letters: list[str]) -> Tensor:
    """Stack labels, NaN if missing: (B, letters), on the CPU."""
    none = torch.full((len(batch),), math.nan)
    return torch.stack([batch.labels.get(letter, none).cpu() for letter in letters], dim=1)
