"""A score, its bounds and its timeline, from features made in memory and a network that can be computed by hand."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from msapipe.cache import Store
from msapipe.cache.store import entry_bytes, read_entry
from msapipe.errors import NothingToScore
from msapipe.fusion._base import Batch, FusionModel, Output, masked_mean, present
from msapipe.pipeline import network as networks
from msapipe.pipeline.predict import Model
from msapipe.pipeline.run import Outcome
from msapipe.pipeline.spec import PipelineSpec, load_spec
from msapipe.types import Clip, FeatureSequence, Prediction, Window

DIMS = {"text": 1, "vision": 2}


class Plain(FusionModel):
    """The mean of the first columns over the modalities that are there, give or take one, a half with text."""

    bounded = True
    asked: list[int]

    def forward(self, batch: Batch) -> Output:
        self.asked.append(len(batch))
        alone = {name: masked_mean(batch.values[name], batch.mask[name])[:, 0] for name in self.dims}
        there = torch.stack([present(batch.mask[name]) for name in self.dims], dim=1).float()
        score = (torch.stack(list(alone.values()), dim=1) * there).sum(1) / there.sum(1).clamp(min=1)
        width = torch.where(present(batch.mask["text"]), 0.5, 1.0)
        bounds = torch.stack([score - width, score + width], dim=1)
        return Output(score, alone, interval=bounds if self.bounded else None)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Plain:
    plain = Plain(DIMS).eval()
    plain.asked = []
    monkeypatch.setattr(networks, "load_network", lambda *_: plain)
    return plain


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder of which the network is never read."""
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"nothing": torch.zeros(1)}, folder / "model.safetensors")
    weights = (folder / "model.safetensors").read_bytes()
    card = {
        "schema_version": 1,
        "about": "for tests",
        "use": "plain",
        "version": 1,
        "scale": [-3, 3],
        "labels": [{"name": "negative", "below": -0.5}, {"name": "neutral", "below": 0.5}, {"name": "positive"}],
        "align": None,
        "dims": DIMS,
        "features": {},
        "weights": {
            "file": "model.safetensors",
            "sha256": hashlib.sha256(weights).hexdigest(),
            "bytes": len(weights),
        },
        "trained": {"dataset": None, "command": "none"},
        "calibrated": True,
        "licence": "Apache-2.0",
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(card))
    return folder


@pytest.fixture
def spec() -> PipelineSpec:
    return replace(load_spec("pocket"), align=None)


def rows(times: list[float], values: list[float], width: int, step: float = 1.0) -> FeatureSequence:
    """Rows of ``step`` seconds from these times on; NaN is an invalid one."""
    starts = np.array(times)
    columns = np.tile(np.array(values, np.float32)[:, None], (1, width))
    valid = np.isfinite(columns).all(axis=1)
    return FeatureSequence.masked(np.nan_to_num(columns), np.stack([starts, starts + step], axis=1), valid)


def long_clip() -> Outcome:
    """Four windows up to 120 s: words and a face, a face, nothing, words."""
    text = rows([1.0, 2.0, 3.0, 95.0, 96.0], [1.0, 2.0, 3.0, -2.0, -2.0], 1)
    faces = [1.0 if second < 60 else np.nan for second in range(120)]
    vision = rows([float(second) for second in range(120)], faces, 2)
    return outcome({"text": text, "vision": vision})


def outcome(features: dict[str, FeatureSequence], notes: tuple[str, ...] = ()) -> Outcome:
    keys = {
        name: hashlib.sha256(part.values.tobytes() + part.times.tobytes()).hexdigest()
        for name, part in features.items()
    }
    return Outcome(Clip("a", Path("a.mp4")), features=features, keys=keys, notes=notes)


@pytest.fixture
def model(folder: Path, spec: PipelineSpec, network: Plain) -> Model:
    return Model(str(folder), spec, allow_mismatch=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def test_a_long_clip_has_a_timeline_and_its_mean(model: Model, store: Store) -> None:
    found = model.predict(long_clip(), store)
    assert found.timeline == (
        Window(0.0, 30.0, 1.5, "positive", (1.0, 2.0)),
        Window(30.0, 60.0, 1.0, "positive", (0.0, 2.0), ("text",)),
        Window(90.0, 120.0, -2.0, "negative", (-2.5, -1.5), ("vision",)),
    )
    weights = np.array([3 + 10, 10, 2 + 10])
    assert found.score == pytest.approx(np.average([1.5, 1.0, -2.0], weights=weights))
    assert found.interval == pytest.approx(np.average([[1, 2], [0, 2], [-2.5, -1.5]], axis=0, weights=weights))
    assert "1 of 4 windows hold nothing to score and are left out" in found.notes


def test_bounds_get_no_narrower_by_more_windows(model: Model, store: Store) -> None:
    words = rows([float(second) for second in range(1800)], [1.0] * 1800, 1)
    found = model.predict(outcome({"text": words}), store)
    assert len(found.timeline) == 60
    assert found.interval == pytest.approx((0.5, 1.5))


def test_a_score_without_a_modality_is_that_of_a_clip_without_it(model: Model, store: Store) -> None:
    clip = long_clip()
    zeros = {name: np.zeros_like(part.values) for name, part in clip.features.items()}
    found = model.predict(clip, store)
    for name, part in found.modalities.items():
        assert part.coverage == clip.features[name].coverage
        unseen = replace(clip.features[name], valid=np.zeros(len(clip.features[name].valid), bool), values=zeros[name])
        without = outcome({**clip.features, name: unseen})
        assert part.score_without == pytest.approx(model.predict(without, store).score)
    text, vision = (found.modalities[name].score for name in DIMS)
    assert text == pytest.approx((13 * 2.0 + 12 * -2.0) / 25)
    assert vision == pytest.approx(1.0)


@pytest.mark.parametrize("seconds", [1, 59, 60])
def test_a_clip_up_to_a_minute_is_scored_at_once(seconds: int, model: Model, network: Plain, store: Store) -> None:
    random = np.random.default_rng(seconds)
    times = [float(second) for second in range(seconds)]
    features = {name: rows(times, random.normal(size=seconds).tolist(), width) for name, width in DIMS.items()}
    found = model.predict(outcome(features), store)
    with torch.inference_mode():
        expected = network(predict_batch(features))
    assert found.score == float(expected.score[0])
    assert found.modalities["text"].score == float(expected.unimodal["text"][0])
    assert found.timeline == ()
    assert not any("windows" in note for note in found.notes)


def predict_batch(features: dict[str, FeatureSequence]) -> Batch:
    from msapipe.fusion._base import collate

    return collate([features], DIMS)


def test_many_windows_go_through_the_network_in_batches(model: Model, network: Plain, store: Store) -> None:
    words = rows([30.0 * number for number in range(60)], [0.0] * 60, 1)
    model.predict(outcome({"text": words, "vision": rows([1799.0], [0.0], 2)}), store)
    assert max(network.asked) == 16
    assert sum(network.asked) == 3 * 60


def test_bounds_end_with_the_scale_and_may_be_unknown(model: Model, network: Plain, store: Store) -> None:
    high = outcome({"text": rows([0.0], [2.9], 1)})
    assert model.predict(high, store).interval == pytest.approx((2.4, 3.0))
    network.bounded = False
    other = outcome({"text": rows([0.0], [2.8], 1)})
    assert model.predict(other, store).interval is None
    assert all(window.interval is None for window in model.predict(long_clip(), store).timeline)


@pytest.mark.parametrize(("align", "says"), [(32, "32 steps of the whole clip"), ("tokens", "the tokens of the")])
def test_what_cannot_be_cut_is_scored_at_once_and_noted(
    align: int | str, says: str, folder: Path, spec: PipelineSpec, network: Plain, store: Store
) -> None:
    found = Model(str(folder), replace(spec, align=align), allow_mismatch=True).predict(long_clip(), store)
    assert found.timeline == ()
    assert any(says in note for note in found.notes)


def test_a_clip_without_a_word_to_align_to_is_one_step(
    folder: Path, spec: PipelineSpec, network: Plain, store: Store
) -> None:
    aligned = Model(str(folder), replace(spec, align="words"), allow_mismatch=True)
    found = aligned.predict(outcome({"vision": rows([0.0], [1.0], 2, step=600.0)}), store)
    assert (found.timeline, found.score) == ((), 1.0)


def test_what_is_kept_is_found_again_and_tells_apart(model: Model, network: Plain, store: Store) -> None:
    whole = long_clip()
    first = model.predict(whole, store)
    asked = len(network.asked)
    assert model.predict(whole, store) == first
    assert len(network.asked) == asked, "the second time it comes from the cache"
    off = Outcome(whole.clip, features={"vision": whole.features["vision"]}, keys=whole.keys)
    assert model.predict(off, store).missing == ("text",)
    assert model.predict(whole, store) == first


def test_a_prediction_made_of_other_words_to_align_to_is_another(
    folder: Path, spec: PipelineSpec, network: Plain, store: Store
) -> None:
    aligned = Model(str(folder), replace(spec, align="words"), allow_mismatch=True)
    vision = rows([0.0, 1.0], [1.0, 1.0], 2)
    for words, score in (("a", 1.0), ("b", 2.0)):
        clip = Outcome(Clip("a", Path("a.mp4")), features={"vision": vision}, keys={"vision": "v", "words": words})
        assert aligned.predict(clip, store).score == score
        vision = rows([0.0, 1.0], [2.0, 2.0], 2)


def test_notes_of_the_features_reach_the_prediction_once(model: Model, store: Store) -> None:
    noted = outcome(long_clip().features, ("text: the language is not English",))
    for _ in range(2):
        assert model.predict(noted, store).notes.count("text: the language is not English") == 1
    # They belong to the features, not to the score that is kept.
    assert not any("English" in note for note in model.predict(long_clip(), store).notes)


def test_nothing_to_score_says_why(model: Model, store: Store) -> None:
    nothing = {"text": rows([0.0], [np.nan], 1)}
    with pytest.raises(NothingToScore, match=r"a\.mp4: nothing to score: no words were found"):
        model.predict(outcome(nothing, ("no words were found",)), store)
    with pytest.raises(NothingToScore, match=r"nothing to score: nothing was seen of text, vision$"):
        model.predict(outcome(nothing), store)


def test_a_prediction_with_a_timeline_comes_back_from_the_cache(tmp_path: Path) -> None:
    window = Window(0.0, 30.0, 1.0, "positive", (0.0, 2.0), ("text", "audio"))
    value = Prediction(
        *(1.0, (-3.0, 3.0), 1 / 3, "positive", "m", {}),
        interval=(0.5, 2.0),
        timeline=(window, Window(30.0, 61.0, 0.0, "neutral")),
    )
    (tmp_path / "entry").write_bytes(entry_bytes(value, {}, ()))
    assert read_entry(tmp_path / "entry").value == value


def test_impossible_bounds_and_windows_are_refused() -> None:
    for interval in ((1.0, 0.0), (-float("inf"), 0.0), (0.0, float("nan"))):
        with pytest.raises(ValueError, match="is no interval"):
            Prediction(0.0, (-3.0, 3.0), 0.0, "neutral", "m", {}, interval=interval)
    with pytest.raises(ValueError, match="0 <= start < end"):
        Window(3.0, 3.0, 0.0, "neutral")
