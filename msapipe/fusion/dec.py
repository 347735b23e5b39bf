"""Semi-supervised deep embedded clustering: unlabelled clips shape the latent space that a classifier reads.

Saadatinia, Ahmadi and Abdollahi, "Enhancing Multi-Modal Video Sentiment Classification Through Semi-Supervised
Clustering" (2025). DEC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._attention import Dropout, Encoder
from msapipe.fusion._base import (
    Batch,
    Batches,
    FusionModel,
    Group,
    Output,
    Phase,
    Preset,
    masked_mean,
    mean_over,
    present,
)
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._clustering import (
    clustering_loss,
    disentangle_loss,
    kmeans,
    soft_assignment,
    still,
    target_assignment,
)
from msapipe.fusion._norm import MaskedNorm

# Loss weights from the paper: of the autoencoder, and during clustering.
RECON, RECON_IN_CLUSTER, SUPERVISED_IN_CLUSTER = 1.0, 0.1, 0.5


@dataclass(frozen=True)
class Shape:
    """Of the transformers: width, heads, feed-forward units, layers and dropout."""

    d: int
    heads: int
    hidden: int
    layers: int
    dropout: float

    def encoder(self, layers: int) -> Encoder:
        """A post-norm transformer with sine positions: keeps (B, T, d)."""
        dropout = Dropout(attention=self.dropout, hidden=self.dropout, residual=self.dropout)
        return Encoder(self.d, self.heads, layers, self.hidden, norm="post", dropout=dropout)


class Reader(nn.Module):
    """A modality's transformer, averaged over time: (B, T, D), (B, T) to (B, d), zero if it is missing."""

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        self.enter = nn.Linear(width, shape.d)
        self.encoder = shape.encoder(shape.layers)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """The clip's vector."""
        return masked_mean(self.encoder(self.enter(values), mask), mask)


class ClassifierHead(nn.Module):
    """Batch norm and two layers: latent (B, z_dim) to the logit of a positive label (B,)."""

    def __init__(self, z_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = MaskedNorm(z_dim)
        self.layers = nn.Sequential(
            *(nn.ReLU(), nn.Dropout(dropout), nn.Linear(z_dim, z_dim // 2)),
            *(nn.ReLU(), nn.Dropout(dropout), nn.Linear(z_dim // 2, 1)),
        )

    def forward(self, z: Tensor) -> Tensor:
        """The logit; in training, a batch of one clip is normalised by the running statistics."""
        every = torch.ones(len(z), 1, dtype=torch.bool, device=z.device)
        return self.layers(self.norm(z.unsqueeze(1), every)[:, 0])[:, 0]  # type: ignore[no-any-return]


class Classifier(nn.Module):
    """One transformer per modality, their means mapped to a latent vector, and a head if ``head``.

    With text, vision and audio of 300, 35 and 5 columns it has the paper's 851,713 parameters.
    """

    def __init__(self, dims: Mapping[str, int], shape: Shape, z_dim: int, dropout: float, head: bool) -> None:
        super().__init__()
        self.readers = nn.ModuleDict({name: Reader(width, shape) for name, width in dims.items()})
        self.latent = nn.Linear(len(dims) * shape.d, z_dim)
        if head:
            self.head = ClassifierHead(z_dim, dropout)

    def encode(self, batch: Batch) -> Tensor:
        """A standardised batch to its latent vectors (B, z_dim)."""
        means = [reader(batch.values[name], batch.mask[name]) for name, reader in self.readers.items()]
        return self.latent(torch.cat(means, dim=1))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """Reconstructs the encoder's input from latent vectors.

    target "sequence": every step, by one transformer layer over the repeated vector.   "mean": the mean over time.
    """

    def __init__(self, dims: Mapping[str, int], shape: Shape, z_dim: int, target: str) -> None:
        super().__init__()
        self.enter = nn.Linear(z_dim, len(dims) * shape.d)
        self.layers = nn.ModuleDict({name: shape.encoder(1) for name in dims if target == "sequence"})
        self.leave = nn.ModuleDict({name: nn.Linear(shape.d, width) for name, width in dims.items()})

    def loss(self, z: Tensor, batch: Batch) -> Tensor:
        """Mean squared error over the valid elements of a standardised batch, averaged over modalities."""
        hidden = self.enter(z).relu().chunk(len(self.leave), dim=1)
        errors = [self._error(name, part, batch) for name, part in zip(self.leave, hidden, strict=True)]
        return torch.stack(errors).mean()

    def _error(self, name: str, hidden: Tensor, batch: Batch) -> Tensor:
        values, mask = batch.values[name], batch.mask[name]
        if not self.layers:
            found, wanted, known = self.leave[name](hidden), masked_mean(values, mask), present(mask)
        else:
            repeated = hidden.unsqueeze(1).expand(-1, values.shape[1], -1)
            found, wanted, known = self.leave[name](self.layers[name](repeated, mask)), values, mask
        return mean_over((found - wanted).square().mean(dim=-1), known)


class Dec(FusionModel):
    """(B, T_m, D_m) per modality to latent vectors z (B, z_dim) to a logit (B,), mapped to scores (B,).

    score = limit tanh(logit / 2), which maps the probability p of a positive label to limit (2 p - 1): the paper has
    classes only. Labels are positive (M > 0) or negative (M < 0); a clip without a label, or with 0, is unlabelled.

    stages: "0", the classifier alone; "1,3", an autoencoder over all clips first; "1,2,3", clustering in between: z is
    pulled to centroids initialised by k-means, constrained by the decoder and the labels; "1,2" ends there, and the
    clusters' own head scores. Parameters of omitted stages do not exist.   clusters: number, not in the paper.
    labelled_fraction: share of the labelled clips whose labels training uses, rounded to a whole number of clips and
    drawn by the seed: 0.4 in the paper, which hides the other labels of a fully labelled corpus. Stages 0 and 3 use
    these clips only.   cluster_fraction: the same for stage 2; the smaller set is a subset of the larger one;
    None: as labelled_fraction.   limit: in training, the largest label of the scale. target "graded": the head learns
    the probability (1 + M / limit) / 2, so that the score is M, not only its sign.
    recon_target: see Decoder.   disentangle_weight: of the covariances of z, in stage 1.   steps: clips are cut to this
    many steps, 30 in the paper, whose steps are words; 0: not cut.

    Departures: the paper does not state widths, decoder, clusters and the position of the batch norm; the sizes here
    give its number of parameters. Its scaling to [0, 1] before standardisation has no effect and is omitted.
    """

    version = 2
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Saadatinia, Ahmadi, Abdollahi",
        "year": 2025,
        "inputs": "text, audio, vision",
        "aligned": "one grid",
        "tasks": "sign",
        "parameters": 1_422_236,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "Saadatinia et al., section 4", {"stages": "1,2,3", "labelled_fraction": 0.4, "steps": 30, "batch": 128}
        ),
    }
    target: Tensor
    class_edges = (0.0,)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        stages: Literal["0", "1,3", "1,2", "1,2,3"] = "1,2,3",
        d: int = 128,
        heads: int = 4,
        hidden: int = 256,
        layers: int = 2,
        z_dim: int = 32,
        dropout: float = 0.1,
        head_dropout: float = 0.3,
        clusters: int = 2,
        labelled_fraction: float = 1.0,
        cluster_fraction: float | None = None,
        target: Literal["sign", "graded"] = "sign",
        recon_target: Literal["sequence", "mean"] = "sequence",
        disentangle_weight: float = 0.001,
        limit: float = 3.0,
        steps: int = 0,
    ) -> None:
        super().__init__(dims)
        check_sizes(d=d, heads=heads, hidden=hidden, layers=layers, z_dim=z_dim // 2, clusters=clusters)
        check_dropouts(dropout=dropout, head_dropout=head_dropout)
        of_clusters = labelled_fraction if cluster_fraction is None else cluster_fraction
        for name, fraction in (("labelled_fraction", labelled_fraction), ("cluster_fraction", of_clusters)):
            if not 0 <= fraction <= 1:
                raise ConfigError(f"{name}: found {fraction}, expected 0 to 1")
        self.fractions = {"baseline": labelled_fraction, "cluster": of_clusters, "finetune": labelled_fraction}
        if limit <= 0:
            raise ConfigError(f"limit: found {limit}, expected more than 0")
        if steps < 0:
            raise ConfigError(f"steps: found {steps}, expected 0 or more")
        self.stages, self.clusters, self.limit, self.steps = stages, clusters, limit, steps
        self.graded = target == "graded"
        self.scored_by_classes = not self.graded
        self.disentangle_weight = disentangle_weight
        shape = Shape(d, heads, hidden, layers, dropout)
        self.by_clusters = stages == "1,2"
        self.classifier = Classifier(dims, shape, z_dim, head_dropout, head=not self.by_clusters)
        if "1" in stages:
            self.decoder = Decoder(dims, shape, z_dim, recon_target)
        if "2" in stages:
            self.centroids = nn.Parameter(torch.zeros(clusters, z_dim))
            self.class_head = nn.Linear(z_dim, 2)
        self.register_buffer("target", torch.zeros(0, clusters), persistent=False)
        self.order = torch.zeros(0, dtype=torch.int64)
        self.shown: dict[str, int] = {}
        self.seed = torch.initial_seed()

    @classmethod
    def params_of(cls, scale: tuple[float, float]) -> dict[str, Any]:
        """The limit is that of the label scale."""
        return {"limit": max(abs(bound) for bound in scale)}

    def counts(self) -> dict[str, int]:
        """The classifier, whose size the paper states; decoder and centroids are used only in training."""
        return {"classifier": sum(part.numel() for part in self.classifier.parameters())}

    def forward(self, batch: Batch) -> Output:
        """Score a batch; ``features`` has the latent vectors as "fused", and the logit (B, 1)."""
        z = self.classifier.encode(self._read(batch))
        logit = self._logit(z)
        said = {"probability": torch.sigmoid(logit).detach()}
        if "2" in self.stages:
            said["clusters"] = soft_assignment(z, self.centroids).detach()
        score = self.limit * torch.tanh(logit / 2)
        classes = torch.stack([torch.zeros_like(logit), logit], dim=1)
        return Output(score, features={"fused": z, "logit": logit.unsqueeze(1)}, diagnostics=said, classes=classes)

    def _logit(self, z: Tensor) -> Tensor:
        """Logit of a positive label, (B,)."""
        if not self.by_clusters:
            return self.classifier.head(z)  # type: ignore[no-any-return]
        negative, positive = self.class_head(z).unbind(dim=1)
        return positive - negative  # type: ignore[no-any-return]

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """The stage's loss: reconstruction, clustering, or cross-entropy over the clips with a known label."""
        z = output.features["fused"]
        if phase == "pretrain":
            recon = self.decoder.loss(z, self._read(batch))
            return RECON * recon + self.disentangle_weight * disentangle_loss(z)
        if phase == "cluster":
            recon = self.decoder.loss(z, self._read(batch))
            return self._drawn(z, batch) + RECON_IN_CLUSTER * recon + SUPERVISED_IN_CLUSTER * self._classes(z, batch)
        label, known = self._labels(batch, phase)
        wanted = ((1 + label / self.limit) / 2).clamp(0, 1) if self.graded else (label > 0).to(label.dtype)
        error = F.binary_cross_entropy_with_logits(output.features["logit"][:, 0], wanted, reduction="none")
        return mean_over(error, known)

    def choose(self, phase: str, labels: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """In stages 0 and 3, the clips with a known label that is not hidden; otherwise all clips."""
        usable = self._usable(labels["M"]).nonzero()[:, 0]
        # Depends only on the model's seed, so that a resumed run draws the same clips.
        drawn = torch.randperm(len(usable), generator=torch.Generator().manual_seed(self.seed))
        self.order = torch.full((len(labels["M"]),), len(labels["M"]), dtype=torch.int64)
        self.order[usable[drawn]] = torch.arange(len(usable))
        self.shown = {name: round(fraction * len(usable)) for name, fraction in self.fractions.items()}
        if phase in ("baseline", "finetune"):
            return rows[self.order[rows] < self.shown[phase]]
        return rows

    def begin(self, phase: str, batches: Batches) -> None:
        """Initialise the clusters by k-means."""
        if phase == "cluster":
            z = torch.cat([part for _, part in self._latents(batches)])
            with torch.no_grad():
                self.centroids.copy_(kmeans(z, self.clusters))

    def begin_epoch(self, phase: str, epoch: int, batches: Batches) -> None:
        """Compute this epoch's target assignment over the whole split, indexed by position in it."""
        if phase == "cluster":
            rows, parts = zip(*self._latents(batches), strict=True)
            row, z = torch.cat(rows), torch.cat(parts)
            with torch.no_grad():
                found = target_assignment(soft_assignment(z, self.centroids))
            self.target = found.new_zeros(int(row.max()) + 1, self.clusters).index_copy(0, row, found)

    def _read(self, batch: Batch) -> Batch:
        """The batch standardised and cut to ``steps``."""
        batch = self.standardized(batch)
        if not self.steps:
            return batch
        values = {name: part[:, : self.steps] for name, part in batch.values.items()}
        return replace(batch, values=values, mask={name: part[:, : self.steps] for name, part in batch.mask.items()})

    def phases(self) -> tuple[Phase, ...]:
        """The paper's stages; the last one keeps the epoch of best accuracy, the others their last epoch."""
        encoder = ("classifier.readers", "classifier.latent")
        classifier = Group(("classifier",), lr=4e-5, weight_decay=0.01, name="classifier")
        autoencoder = Group((*encoder, "decoder"), lr=5e-4, name="autoencoder")
        clusters = Group((*encoder, "decoder", "centroids", "class_head"), lr=1e-4, name="clusters")
        found = {
            "0": Phase("baseline", (classifier,), 500, monitor="acc2"),
            "1": Phase("pretrain", (autoencoder,), 200, labels=(), monitor="last"),
            "2": Phase("cluster", (clusters,), 100, labels=(), monitor="last"),
            "3": Phase("finetune", (classifier,), 500, monitor="acc2"),
        }
        return tuple(replace(found[stage], batch=128, clip=None, patience=None) for stage in self.stages.split(","))

    def _latents(self, batches: Batches) -> list[tuple[Tensor, Tensor]]:
        """Rows (B,) and latent vectors (B, z_dim) of each batch, without dropout."""
        with still(self):
            return [(_rows(batch), self.classifier.encode(self._read(batch))) for batch in batches()]

    def _drawn(self, z: Tensor, batch: Batch) -> Tensor:
        """Clustering loss; only rows of the training split have a target."""
        q = soft_assignment(z, self.centroids)
        return clustering_loss(q, self.target[_rows(batch)]) if self.training else 0.0 * q.sum()

    def _classes(self, z: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of the clusters' own head."""
        label, known = self._labels(batch, "cluster")
        return mean_over(F.cross_entropy(self.class_head(z), (label > 0).long(), reduction="none"), known)

    def _labels(self, batch: Batch, phase: str) -> tuple[Tensor, Tensor]:
        """Labels (B,) without NaN, and their mask (B,); hidden ones are masked only in training."""
        known = self._usable(batch.labels["M"])
        if self.training and len(self.order):
            order = self.order.to(known.device)
            known = known & (order[_rows(batch)] < self.shown[phase])
        return batch.labels["M"].nan_to_num(), known

    def _usable(self, label: Tensor) -> Tensor:
        """Labels (B,) with a class, or, with the target "graded", any label: bool (B,)."""
        return label.isfinite() & (self.graded | (label != 0))


def _rows(batch: Batch) -> Tensor:
    """Positions in the split, int64 (B,)."""
    if batch.index is None:
        raise ConfigError("dec is trained on batches that know their rows: set Batch.index")
    return batch.index
