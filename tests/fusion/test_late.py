from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, collate, masked_mean, masked_std
from msapipe.fusion.late import NINE_IN_TEN, Late, pooled
from msapipe.testing import fakes
from msapipe.train.evaluate import predict
from msapipe.train.loop import Loop
from msapipe.train.settings import Settings
from msapipe.train.table import TensorTable
from msapipe.types import FeatureSequence, Sample

DIMS = {"text": 1, "audio": 1, "vision": 1}
MEAN = np.array([0.2, -0.1, 0.4, 0.3])
COVARIANCE = np.array([[2.0, 1.2, 0.9, 1.0], [1.2, 1.5, 0.6, 0.4], [0.9, 0.6, 1.8, 0.7], [1.0, 0.4, 0.7, 1.3]])
NOISE = np.array([0.5, 4.0, 1.0])  # variances


def model(limit: float = 100.0, calibrated: tuple[str, ...] = ()) -> Late:
    """Each head says the mean over time of its one column."""
    late = Late(DIMS, limit, calibrated)
    late.assume(torch.from_numpy(MEAN), torch.from_numpy(COVARIANCE))
    with torch.no_grad():
        for head in late.heads.values():
            head.linear.weight.copy_(torch.tensor([[1.0, 0.0, 0.0]]))
            head.linear.bias.zero_()
        late.log_trust.copy_(torch.from_numpy(np.log(np.diag(COVARIANCE)[1:] / NOISE)))
    return late.eval()


def batch(*clips: dict[str, float]) -> Batch:
    """Clips of two steps around what each head is to say; a modality that is not named is missing."""
    return collate([{name: steps(value - 1, value + 1) for name, value in clip.items()} for clip in clips], DIMS)


def steps(*values: float) -> FeatureSequence:
    times = np.stack([np.arange(len(values)), np.arange(1, len(values) + 1)], axis=1).astype(np.float64)
    return FeatureSequence(np.array(values, np.float32)[:, None], times, np.ones(len(values), bool))


def by_the_book(heads: list[int], said: NDArray[np.float64]) -> tuple[float, float]:
    """E[M | heads] and its variance, by the inverse of what heads have in common."""
    at = [i + 1 for i in heads]
    inverse = np.linalg.inv(COVARIANCE[np.ix_(at, at)] + np.diag(NOISE[heads]))
    weight = COVARIANCE[0, at] @ inverse
    return float(MEAN[0] + weight @ (said - MEAN[at])), float(COVARIANCE[0, 0] - weight @ COVARIANCE[at, 0])


SAID = {"text": 1.5, "audio": -2.0, "vision": 0.7}


@pytest.mark.parametrize("names", [("text",), ("audio",), ("text", "vision"), ("audio", "vision"), tuple(DIMS)])
def test_the_score_is_the_conditional_mean_given_the_heads_that_are_there(names: tuple[str, ...]) -> None:
    heads = [list(DIMS).index(name) for name in names]
    mean, variance = by_the_book(heads, np.array([SAID[name] for name in names]))
    with torch.inference_mode():
        out = model()(batch({name: SAID[name] for name in names}))
    assert out.interval is not None
    assert float(out.score[0]) == pytest.approx(mean, abs=1e-6)
    half = NINE_IN_TEN * math.sqrt(variance)
    assert out.interval[0].tolist() == pytest.approx([mean - half, mean + half], abs=1e-5)
    assert float(out.diagnostics["deviation"][0]) == pytest.approx(math.sqrt(variance), abs=1e-6)


def test_a_modality_by_itself_says_what_the_model_says_without_the_others() -> None:
    with torch.inference_mode():
        whole = model()(batch(SAID))
        for name in DIMS:
            alone = model()(batch({name: SAID[name]}))
            assert float(whole.unimodal[name][0]) == pytest.approx(float(alone.score[0]), abs=1e-6)
            assert float(alone.diagnostics["share"][0].sum()) == pytest.approx(1.0)


def test_shares_say_how_far_the_score_follows_each_modality() -> None:
    with torch.inference_mode():
        out = model()(batch(SAID))
    moved = sum(
        float(share) * (float(out.unimodal[name][0]) - MEAN[0])
        for name, share in zip(DIMS, out.diagnostics["share"][0], strict=True)
    )
    assert float(out.score[0]) == pytest.approx(MEAN[0] + moved, abs=1e-5)
    assert float(out.features["fused"].sum()) == pytest.approx(moved, abs=1e-5)
    text, audio, vision = out.diagnostics["share"][0].tolist()
    assert text > vision > audio > 0


@pytest.mark.parametrize("trust", [-50.0, 0.0, 3.0, 50.0])
def test_a_calibrated_head_alone_is_the_score(trust: float) -> None:
    late = model(limit=3.0, calibrated=("text",))
    with torch.no_grad():
        late.log_trust[0] = trust
        said = torch.tensor([-2.4, -1.9, -0.3, 0.0, 1.7])
        out = late(batch(*({"text": float(value)} for value in said)))
    assert torch.allclose(out.score, said, atol=1e-5)
    assert torch.allclose(out.score, out.unimodal["text"], atol=1e-6)


def test_a_calibrated_head_is_moved_by_the_others_the_less_the_surer_it_is() -> None:
    moved = []
    for trust in (-2.0, 0.0, 2.0, 6.0):
        late = model(calibrated=("text",))
        with torch.no_grad():
            late.log_trust[0] = trust
            late.assume(torch.zeros(4), torch.tensor(_text_sees_all()))
            moved.append(float(late(batch({"text": 1.0, "vision": -3.0})).score[0]) - 1.0)
    assert moved == sorted(moved)
    assert moved[0] < -0.3
    assert abs(moved[-1]) < 0.01


def _text_sees_all() -> list[list[float]]:
    """The latent of the text is M itself."""
    found = COVARIANCE.copy()
    found[1], found[:, 1] = found[0], found[:, 0]
    found[1, 1] += 1e-5
    return [list(map(float, row)) for row in found]


def test_nothing_at_all_is_the_mean_and_the_widest_interval() -> None:
    clips = [{}, {"audio": 1.0}, {"audio": 1.0, "vision": 1.0}, SAID]
    with torch.inference_mode():
        out = model()(batch(*clips))
    assert out.interval is not None
    assert float(out.score[0]) == pytest.approx(MEAN[0])
    assert all(float(part[0]) == pytest.approx(MEAN[0]) for part in out.unimodal.values())
    width = (out.interval[:, 1] - out.interval[:, 0]).tolist()
    assert width == sorted(width, reverse=True)
    assert width[0] == pytest.approx(2 * NINE_IN_TEN * math.sqrt(2), abs=1e-5)
    assert not out.diagnostics["share"][0].any()


def test_a_missing_modality_is_one_that_is_switched_off() -> None:
    with torch.inference_mode():
        off = model()(batch(SAID).without("vision"))
        missing = model()(batch({"text": 1.5, "audio": -2.0}))
    assert torch.equal(off.score, missing.score)
    assert torch.equal(off.interval, missing.interval)


def test_scores_and_intervals_stay_within_the_limit() -> None:
    with torch.inference_mode():
        out = model(limit=1.0)(batch({"text": 50.0}, {"text": -50.0}, {}))
    assert out.score.tolist()[:2] == [1.0, -1.0]
    low, high = out.interval.T
    assert high[0] == 1.0
    assert low[1] == -1.0
    assert (low < high).all()


def test_strong_scores_still_differ() -> None:
    late = model(limit=3.0, calibrated=("text",))
    with torch.inference_mode():
        score = late(batch(*({"text": value} for value in (2.4, 2.8, 3.2, 4.0, -2.8)))).score
    assert score.tolist() == pytest.approx([2.4, 2.749, 2.922, 2.994, -2.749], abs=1e-3)


def test_trust_follows_the_features_within_bounds() -> None:
    late = model()
    with torch.no_grad():
        late.heads["text"].trust.weight[0, 2] = 1.0  # the number of steps
        clips = collate([{"text": steps(1, 2)}, {"text": steps(*([1.5] * 40))}], DIMS)
        short, long = late(clips).diagnostics["deviation"]
        assert long < short - 0.01
        late.heads["text"].trust.weight[0, 2] = 1e30
        out = late(clips)
    assert torch.isfinite(out.score).all()
    assert torch.isfinite(out.interval).all()


def test_no_gradient_is_lost_where_modalities_are_missing() -> None:
    late = model().train()
    clips = batch({}, {"text": 1.0}, {"audio": 1.0, "vision": -1.0}, SAID)
    clips.labels = {"M": torch.tensor([0.0, 1.0, -1.0, math.nan]), "T": torch.tensor([math.nan, 1.0, math.nan, 0.5])}
    late.loss(late(clips), clips, "all").backward()  # type: ignore[no-untyped-call]
    for name, parameter in late.named_parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def samples(
    count: int, seed: int, noise: tuple[float, float, float] = (1.5, 3.0, 1.0), share: float = 0.9
) -> TensorTable:
    """M, T, A, V drawn from the covariance; heads see them through noise, and some modalities are missing."""
    random = np.random.default_rng(seed)
    out = []
    for i in range(count):
        labels = random.multivariate_normal(MEAN, COVARIANCE)
        seen = labels[1:] + random.normal(size=3) * noise
        features = {name: steps(value) for name, value in zip(DIMS, seen, strict=True) if random.random() < share}
        out.append(Sample(str(i), features, dict(zip("MTAV", labels.tolist(), strict=True))))
    return TensorTable.of(out, DIMS)


def test_it_begins_with_what_the_labels_say() -> None:
    late, table = Late(DIMS), samples(2000, 0)
    late.begin("all", lambda: [table.whole])
    assert np.allclose(late.covariance().detach().numpy(), COVARIANCE, atol=0.2)
    assert np.allclose(late.mean.detach().numpy(), MEAN, atol=0.1)
    assert float(late.heads["text"].get_buffer("std")[0]) == pytest.approx(math.sqrt(1.5 + 2.25), abs=0.1)


def test_the_interval_holds_nine_in_ten_of_what_it_was_fitted_to() -> None:
    late, table = model(), samples(1000, 0)
    late.get_buffer("reach").fill_(0.1)
    late.begin_epoch("all", 1, lambda: table.batches(torch.arange(1000), 300))
    with torch.no_grad():
        low, high = late(table.whole).interval.T
    held = float(((low <= table.whole.labels["M"]) & (table.whole.labels["M"] <= high)).float().mean())
    assert held == pytest.approx(0.9, abs=0.01)


def test_trained_it_comes_near_the_best_that_can_be_said() -> None:
    torch.manual_seed(0)
    late, train, valid = Late(DIMS, 10.0), samples(1200, 1), samples(800, 2)
    fabric = Fabric(accelerator="cpu", devices=1)
    Loop(late, train, valid, Settings(lr=0.03, epochs=25, batch=200), fabric).run()
    best = model(10.0)
    with torch.no_grad():
        noise = torch.tensor([2.25, 9.0, 1.0])
        best.log_trust.copy_((torch.tensor([1.5, 1.8, 1.3]) / noise).log())
    label = valid.whole.labels["M"]
    said, ideal = (predict(each, valid, fabric) for each in (late, best))
    error, least = (float((each.score - label).abs().mean()) for each in (said, ideal))
    alone = float((said.unimodal["text"] - label).abs().mean())
    assert error < 1.02 * least
    assert error < 0.9 * alone
    assert said.interval is not None
    low, high = said.interval.T
    assert 0.86 < float(((low <= label) & (label <= high)).float().mean()) < 0.94


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="limit: found 0"):
        Late(DIMS, limit=0)
    with pytest.raises(ConfigError, match="calibrated: found smell, this model reads text, audio, vision"):
        Late(DIMS, calibrated=("smell",))


def test_what_heads_read_counts_the_valid_steps() -> None:
    values = torch.tensor([[[1.0], [5.0], [99.0]]])
    assert pooled(values, torch.tensor([[True, True, False]]))[0].tolist() == pytest.approx([3.0, 2.0, math.log(3)])
    assert not pooled(values, torch.zeros(1, 3, dtype=torch.bool)).any()


def test_masked_statistics_are_those_of_the_valid_steps() -> None:
    values = torch.tensor([[[1.0], [3.0], [77.0]], [[5.0], [0.0], [0.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert masked_mean(values, mask)[:, 0].tolist() == [2.0, 5.0]
    assert masked_std(values, mask)[:, 0].tolist() == [1.0, 0.0]


def test_collate_pads_and_marks() -> None:
    dims = {"text": 2, "audio": 3}
    clips = [fakes.features(dims, steps=3), {"text": fakes.features(dims, steps=5)["text"]}]
    made = collate(clips, dims)
    assert made.values["text"].shape == (2, 5, 2)
    assert made.mask["text"].sum(1).tolist() == [3, 5]
    assert made.mask["audio"].sum(1).tolist() == [5, 0]
    assert not made.values["audio"][1].any()
