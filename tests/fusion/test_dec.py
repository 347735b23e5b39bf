"""DEC: its size, clusters and stages, and what pre-training without labels is good for."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from msapipe.errors import ConfigError, MsapipeError
from msapipe.fusion._base import Batch, Batches, Output, Phase, collate, masked_mean
from msapipe.fusion._clustering import (
    clustering_loss,
    disentangle_loss,
    kmeans,
    soft_assignment,
    still,
    target_assignment,
)
from msapipe.fusion.dec import Dec
from msapipe.testing import fakes
from msapipe.train.loop import Loop
from msapipe.train.settings import Settings
from msapipe.train.table import TensorTable
from msapipe.types import FeatureSequence, Sample

DIMS = {"text": 6, "audio": 5, "vision": 4}
SMALL = {"d": 16, "heads": 2, "hidden": 16, "layers": 1, "z_dim": 4}


def batch(count: int = 8) -> Batch:
    made = collate([fakes.features(DIMS, steps=3 + i % 4, seed=i) for i in range(count)], DIMS)
    made.labels = {"M": torch.linspace(-2, 2, count)}
    made.index = torch.arange(count)
    return made


def small(seed: int = 0, **params: object) -> Dec:
    torch.manual_seed(seed)
    return Dec(DIMS, **{**SMALL, **params}).eval()  # type: ignore[arg-type]


def test_the_classifier_has_the_paper_s_number_of_parameters() -> None:
    model = Dec({"text": 300, "vision": 35, "audio": 5})
    assert sum(part.numel() for part in model.classifier.parameters()) == 851_713
    alone = Dec({"text": 300, "vision": 35, "audio": 5}, stages="0")
    assert sum(part.numel() for part in alone.parameters()) == 851_713


def test_clusters_give_the_worked_numbers(worked_numbers: Path) -> None:
    worked = json.loads((worked_numbers / "modules.json").read_text())["dec"]
    z, centroids = torch.tensor(worked["z"]), torch.tensor(worked["mu"])
    q = soft_assignment(z, centroids)
    p = target_assignment(q)
    assert torch.allclose(q, torch.tensor(worked["Q"]), atol=1e-5)
    assert torch.allclose(p, torch.tensor(worked["P"]), atol=1e-5)
    assert float(clustering_loss(q, p)) == pytest.approx(worked["kl_batchmean"], abs=1e-5)
    assert 3 * float(clustering_loss(q, p)) == pytest.approx(worked["kl_sum"], abs=2e-5)


def test_disentangle_gives_the_worked_number(worked_numbers: Path) -> None:
    worked = json.loads((worked_numbers / "modules.json").read_text())["disentangle"]
    assert float(disentangle_loss(torch.tensor(worked["z"]))) == pytest.approx(worked["loss"], rel=1e-5)
    square = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert float(disentangle_loss(square)) == 0.0


def test_assignments_are_shares_and_the_target_is_sharper() -> None:
    torch.manual_seed(0)
    q = soft_assignment(torch.randn(40, 3), torch.randn(4, 3))
    p = target_assignment(q)
    assert torch.allclose(q.sum(1), torch.ones(40), atol=1e-6)
    assert torch.allclose(p.sum(1), torch.ones(40), atol=1e-6)
    assert float(clustering_loss(q, p)) > 0
    assert -(p * p.log()).sum() < -(q * q.log()).sum()
    sure = torch.tensor([[1.0, 1e-12], [1e-12, 1.0]])
    assert float(clustering_loss(sure, target_assignment(sure))) == pytest.approx(0.0, abs=1e-6)


def test_centroids_of_kmeans_assign_each_row_to_its_own_cloud() -> None:
    torch.manual_seed(0)
    cloud = torch.arange(60) % 3
    z = torch.randn(60, 2) + 12 * torch.tensor([[0.0, 0], [1, 0], [0, 1]])[cloud]
    found = soft_assignment(z, kmeans(z, 3)).argmax(1)
    assert all(len(found[cloud == i].unique()) == 1 for i in range(3))
    assert len(found.unique()) == 3
    with pytest.raises(MsapipeError, match="3 clusters need as many clips, and there are 2"):
        kmeans(z[:2], 3)


def test_still_gives_back_each_mode() -> None:
    model = small().train()
    model.classifier.head.eval()
    with still(model):
        assert not model.training
        assert not model(batch()).score.requires_grad
    assert model.training
    assert not model.classifier.head.training
    assert model.classifier.latent.training


@pytest.mark.parametrize(
    ("stages", "names"),
    [
        ("0", ["baseline"]),
        ("1,3", ["pretrain", "finetune"]),
        ("1,2,3", ["pretrain", "cluster", "finetune"]),
    ],
)
def test_stages_hold_only_what_they_train(stages: str, names: list[str]) -> None:
    model = small(stages=stages)
    assert [phase.name for phase in model.phases()] == names
    assert hasattr(model, "decoder") == ("pretrain" in names)
    assert hasattr(model, "centroids") == ("cluster" in names)
    last = model.phases()[-1]
    assert (last.monitor, last.labels, last.groups[0].lr, last.groups[0].weight_decay) == ("acc2", ("M",), 4e-5, 1e-2)
    assert all(phase.labels == () and phase.monitor == "last" for phase in model.phases()[:-1])


def test_score_is_the_probability_on_the_scale() -> None:
    model = small(limit=2.0)
    with torch.inference_mode():
        out = model(batch())
    assert torch.allclose(out.score, 2 * (2 * out.diagnostics["probability"] - 1), atol=1e-6)
    assert torch.allclose(out.features["logit"][:, 0].sigmoid(), out.diagnostics["probability"])
    assert out.features["fused"].shape == (8, 4)


def test_classes_are_the_signs_and_zero_or_nothing_is_no_label() -> None:
    model, given = small(stages="0"), batch()
    given.labels["M"] = torch.tensor([2.0, -1, 0.5, -3, 0, float("nan"), 0, float("nan")])
    out = model(given)
    logit = out.features["logit"][:4, 0]
    expected = -torch.nn.functional.logsigmoid(logit * torch.tensor([1.0, -1, 1, -1])).mean()
    assert float(model.loss(out, given, "baseline").detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    given.labels["M"] = torch.full((8,), float("nan"))
    nothing = model.loss(out, given, "baseline")
    assert float(nothing.detach()) == 0.0
    nothing.backward()  # type: ignore[no-untyped-call]


def test_a_graded_target_is_least_where_the_score_is_the_label() -> None:
    model, given = small(stages="0", target="graded"), batch()
    given.labels["M"] = torch.linspace(-2, 2, 8)
    out = model(given)
    logit = (2 * torch.atanh(given.labels["M"] / 3)).unsqueeze(1).requires_grad_()
    out.features["logit"] = logit
    model.loss(out, given, "baseline").backward()  # type: ignore[no-untyped-call]
    assert logit.grad is not None
    assert torch.allclose(logit.grad, torch.zeros(8, 1), atol=1e-6)


@pytest.mark.parametrize(("count", "fraction", "shown"), [(1000, 0.4, 400), (128, 0.4, 51), (7, 1.0, 7), (9, 0.0, 0)])
def test_the_share_of_labels_is_exact_and_drawn_by_the_seed(count: int, fraction: float, shown: int) -> None:
    """Clips without a label, or labelled 0, are in no share."""
    label = torch.ones(count + 20)
    label[:20:2], label[1:20:2] = float("nan"), 0.0
    drawn = []
    for seed in (1, 2, 1):
        model = small(seed, labelled_fraction=fraction, cluster_fraction=1.0)
        torch.rand(seed)  # what was drawn since does not count
        rows = model.choose("finetune", {"M": label}, torch.arange(count + 20))
        assert len(rows) == shown
        assert not shown or int(rows.min()) >= 20
        drawn.append(rows)
        assert len(model.choose("pretrain", {"M": label}, torch.arange(count + 20))) == count + 20
    assert torch.equal(drawn[0], drawn[2])
    if 0 < fraction < 1:
        assert not torch.equal(drawn[0], drawn[1])


def test_fractions_of_both_stages_are_apart_and_only_in_training() -> None:
    given = batch()
    given.labels["M"] = torch.ones(8)
    model = small(labelled_fraction=0.25, cluster_fraction=0.5).train()
    few = model.choose("finetune", given.labels, torch.arange(8))
    known = model._labels(given, "cluster")[1]
    assert (len(few), int(known.sum())) == (2, 4)
    assert bool(known[few].all())
    shuffled = replace(given, index=given.index.flip(0)) if given.index is not None else given
    assert torch.equal(model._labels(shuffled, "cluster")[1], known.flip(0))
    model.eval()
    assert bool(model._labels(given, "cluster")[1].all())


def test_batches_that_learn_classes_hold_labelled_clips_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does batch norm, which would see the others else."""
    clips = [
        Sample(f"{i}", fakes.features(DIMS, seed=i), {} if i % 3 == 0 else {"M": float(i % 2) - 0.5}) for i in range(60)
    ]
    seen: dict[str, list[int]] = {}

    def watch(self: Dec, output: Output, given: Batch, phase: str, epoch: int) -> None:
        assert given.index is not None
        seen.setdefault(phase, []).extend(given.index.tolist())

    monkeypatch.setattr(Dec, "after_step", watch)
    model = small(labelled_fraction=0.4)
    train, valid = TensorTable.of(clips, DIMS), TensorTable.of(clips[:10], DIMS)
    Loop(model, train, valid, Settings(epochs=1), Fabric(accelerator="cpu", devices=1)).run()
    assert sorted(seen["pretrain"]) == sorted(seen["cluster"]) == list(range(60))
    assert len(seen["finetune"]) == len(set(seen["finetune"])) == 16  # of 40
    assert all(row % 3 for row in seen["finetune"])


def test_scores_reach_as_far_as_labels_and_the_classifier_is_counted_apart() -> None:
    assert Dec.params_of((-1.0, 1.0)) == {"limit": 1.0}
    model = Dec({"text": 300, "vision": 35, "audio": 5}, **Dec.params_of((-1.0, 1.0)))
    assert model.counts() == {"classifier": 851_713}
    assert sum(part.numel() for part in model.parameters()) > 851_713
    with torch.inference_mode():
        said = small(limit=1.0)(batch())
    assert said.classes is not None
    assert torch.allclose(said.classes.softmax(1)[:, 1], said.diagnostics["probability"])


def test_without_a_last_stage_the_clusters_own_head_scores() -> None:
    model = small(stages="1,2")
    assert [phase.name for phase in model.phases()] == ["pretrain", "cluster"]
    assert not hasattr(model.classifier, "head")
    with torch.inference_mode():
        out = model(batch())
        share = model.class_head(out.features["fused"]).softmax(1)[:, 1]
    assert torch.allclose(out.score, model.limit * (2 * share - 1), atol=1e-5)


@pytest.mark.parametrize("target", ["sequence", "mean"])
def test_reconstruction_reads_valid_steps_only(target: str) -> None:
    model, given = small(recon_target=target), batch()
    z = torch.randn(8, 4)
    found = model.decoder.loss(z, model.standardized(given))
    longer = replace(
        given,
        values={name: torch.nn.functional.pad(part, (0, 0, 0, 3), value=7.0) for name, part in given.values.items()},
        mask={name: torch.nn.functional.pad(part, (0, 3)) for name, part in given.mask.items()},
    )
    assert torch.allclose(found, model.decoder.loss(z, model.standardized(longer)), atol=1e-5)
    assert float(model.decoder.loss(z, model.standardized(collate([{}] * 8, DIMS))).detach()) == 0.0


def test_reconstruction_of_the_mean_by_hand() -> None:
    model, given = small(recon_target="mean"), batch()
    with torch.no_grad():
        for part in model.decoder.leave.values():
            part.weight.zero_()
            part.bias.fill_(0.5)
        errors = [(masked_mean(given.values[name], given.mask[name]) - 0.5).square().mean() for name in DIMS]
        found = model.decoder.loss(torch.randn(8, 4), given)
    assert float(found) == pytest.approx(float(torch.stack(errors).mean()), rel=1e-5)


def test_clusters_begin_at_kmeans_and_their_target_is_of_the_whole_split() -> None:
    model, given = small(), batch()
    model.train()

    def halves() -> Iterator[Batch]:
        for rows in (torch.tensor([6, 1, 3, 0]), torch.tensor([2, 7, 5, 4])):
            yield Batch(
                {name: part[rows] for name, part in given.values.items()},
                {name: part[rows] for name, part in given.mask.items()},
                labels={"M": given.labels["M"][rows]},
                index=rows,
            )

    model.begin("cluster", halves)
    model.begin_epoch("cluster", 1, halves)
    assert model.training
    with still(model):
        z = model(given).features["fused"]
        q = soft_assignment(z, model.centroids)
    for cluster in range(2):
        mine = z[q.argmax(1) == cluster]
        assert torch.allclose(mine.mean(0), model.centroids[cluster], atol=1e-5)
    assert torch.allclose(model.target, target_assignment(q), atol=1e-5)
    assert "target" not in model.state_dict()


def test_missing_rows_are_refused_in_training() -> None:
    model, given = small().train(), batch()
    given.index = None
    with pytest.raises(ConfigError, match=r"Batch\.index"):
        model.loss(model(given), given, "cluster")


@pytest.mark.parametrize(
    "bad", [{"d": 15}, {"clusters": 0}, {"labelled_fraction": 1.5}, {"limit": 0.0}, {"z_dim": 1}, {"dropout": 1.0}]
)
def test_bad_parameters_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        small(**bad)


def test_one_clip_is_borne_in_training() -> None:
    model = small().train()
    out = model(batch(1))
    assert out.score.shape == (1,)
    assert bool(torch.isfinite(out.score).all())


# Two classes under nuisances: what a clip says of its class is small, what each modality says of something else is
# large. The nuisances of a clip's modalities are independent: where all share one, neither the auto-encoder nor labels
# found the classes in as many steps.

WIDTHS = {"text": 30, "audio": 12, "vision": 5}


class Pretrained(Dec):
    """Stages 1 and 2 by themselves."""

    def phases(self) -> tuple[Phase, ...]:
        return tuple(replace(phase, batch=64, epochs=EPOCHS[phase.name]) for phase in super().phases()[:2])


EPOCHS = {"pretrain": 40, "cluster": 100}


def clips(signal: float, nuisance: float, count: int, steps: int, split: int) -> tuple[list[Sample], np.ndarray]:
    """Clips with labels of their class, -1 or 1; directions are the same for every split."""
    world, draw = np.random.default_rng(7), np.random.default_rng(100 + split)
    towards = {name: world.normal(size=width) for name, width in WIDTHS.items()}
    across = {name: np.linalg.qr(world.normal(size=(width, 2)))[0].T * width**0.5 for name, width in WIDTHS.items()}
    times = np.stack([np.arange(steps), np.arange(1, steps + 1)], axis=1) / 10
    kind = draw.integers(0, 2, count)
    made = []
    for number, side in enumerate(2 * kind - 1):
        features = {}
        for name, width in WIDTHS.items():
            level = signal * side * towards[name] + nuisance * draw.normal(size=2) @ across[name]
            values = (level + 0.5 * draw.normal(size=(steps, width))).astype(np.float32)
            features[name] = FeatureSequence(values, times, np.ones(steps, bool))
        made.append(Sample(f"{split}-{number}", features, {"M": float(side)}))
    return made, kind


@functools.cache
def found(signal: float, nuisance: float, count: int, steps: int, labelled: float) -> dict[str, float]:
    """How much of the classes is in clusters (normalised mutual information): of the raw means by k-means, of the
    auto-encoder's latent vectors by k-means, and of DEC's clusters, in training and on clips held out."""
    parts = [clips(signal, nuisance, count, steps, split) for split in (0, 1)]
    (train, kind), (held, held_kind) = ((TensorTable.of(samples, WIDTHS), kind) for samples, kind in parts)
    torch.manual_seed(0)
    model = Pretrained(
        WIDTHS, d=32, heads=4, hidden=64, layers=1, z_dim=16, recon_target="mean", labelled_fraction=labelled
    )
    raw = torch.cat([masked_mean(train.whole.values[name], train.whole.mask[name]) for name in WIDTHS], dim=1)
    shares = {"raw": shared_information(kind, soft_assignment(raw, kmeans(raw, 2)))}
    begin = model.begin

    def watched(phase: str, batches: Batches) -> None:
        begin(phase, batches)
        if phase == "cluster":
            shares["autoencoder"] = shared_information(kind, clusters(model, train))

    model.begin = watched  # type: ignore[method-assign]
    Loop(model, train, held, Settings(batch=64), Fabric(accelerator="cpu", devices=1)).run()
    shares["train"] = shared_information(kind, clusters(model, train))
    return shares | {"held": shared_information(held_kind, clusters(model, held))}


def clusters(model: Dec, table: TensorTable) -> Tensor:
    with still(model):
        return model(table.whole).diagnostics["clusters"]


def shared_information(kind: np.ndarray, q: Tensor) -> float:
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(kind, q.argmax(dim=1).numpy()))


@pytest.mark.slow
def test_the_auto_encoder_finds_classes_that_the_raw_means_do_not_show() -> None:
    shares = found(0.35, 1.3, 500, 10, 0.0)
    assert shares["raw"] <= 0.1
    assert shares["autoencoder"] >= 0.9
    assert shares["held"] >= 0.9


@pytest.mark.slow
def test_where_the_nuisance_is_larger_only_labels_find_the_classes() -> None:
    without, with_some = found(0.15, 1.5, 500, 10, 0.0), found(0.15, 1.5, 500, 10, 0.4)
    assert without["held"] <= 0.1
    assert with_some["held"] >= max(0.5, without["held"] + 0.3)


def test_what_comes_after_the_stated_steps_is_not_read() -> None:
    torch.manual_seed(0)
    model = Dec({"text": 3}, d=8, heads=2, hidden=8, steps=4).eval()
    values = torch.randn(2, 7, 3)
    mask = torch.ones(2, 7, dtype=torch.bool)
    whole = model(Batch({"text": values}, {"text": mask})).score
    cut = model(Batch({"text": values[:, :4]}, {"text": mask[:, :4]})).score
    assert torch.allclose(whole, cut)
    model.steps = 0
    assert not torch.allclose(model(Batch({"text": values}, {"text": mask})).score, cut)
