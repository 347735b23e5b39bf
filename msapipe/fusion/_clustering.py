"""Clusters in a trained latent space: soft assignment by Student's t, and its sharpened target.

Xie, Girshick and Farhadi, "Unsupervised Deep Embedding for Clustering Analysis" (2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msapipe.errors import MsapipeError

# Runs of k-means, of which the best is kept.
RUNS = 20


def soft_assignment(z: Tensor, centroids: Tensor) -> Tensor:
    """Probability of each cluster for each row: (N, d), (K, d) to (N, K), rows sum to 1."""
    distance = (z.unsqueeze(1) - centroids).square().sum(dim=-1)
    kernel = (1 + distance) ** -1.0
    return kernel / kernel.sum(dim=1, keepdim=True)


def target_assignment(q: Tensor) -> Tensor:
    """A sharper assignment that balances cluster sizes: (N, K) to (N, K), rows sum to 1.

    ``q`` must cover the whole data set: with the cluster sizes of a single batch, small clusters would explode.
    """
    weight = q.square() / q.sum(dim=0)
    return weight / weight.sum(dim=1, keepdim=True)


def clustering_loss(q: Tensor, p: Tensor) -> Tensor:
    """KL(P || Q), averaged over rows: (N, K), (N, K) to ()."""
    return F.kl_div(q.log(), p, reduction="batchmean")


def disentangle_loss(z: Tensor) -> Tensor:
    """Sum of the squared covariances between columns, counting each pair twice: (N, d) to ()."""
    centred = z - z.mean(dim=0)
    covariance = centred.T @ centred / len(z)
    return covariance.square().sum() - covariance.diagonal().square().sum()


def kmeans(z: Tensor, count: int) -> Tensor:
    """Centroids of the rows: (N, d) to (count, d)."""
    from sklearn.cluster import KMeans

    if len(z) < count:
        raise MsapipeError(f"{count} clusters need as many clips, and there are {len(z)}")
    found = KMeans(count, n_init=RUNS, random_state=0).fit(z.detach().cpu().double().numpy())
    return torch.from_numpy(found.cluster_centers_).to(z)


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients within the block; every module then returns to its previous mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
