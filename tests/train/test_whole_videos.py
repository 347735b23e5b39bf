"""Models that read a clip in its video, passes over clips without labels, and data sets that do not fit a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, Output, Phase
from msapipe.fusion.av_mc_semi import AvMcSemi
from msapipe.fusion.bc_lstm import BcLstm
from msapipe.fusion.late import Late
from msapipe.testing import fakes
from msapipe.train.data import DataSet
from msapipe.train.evaluate import predict
from msapipe.train.loop import Loop, Settings
from msapipe.train.study import Study
from msapipe.train.table import TensorTable
from msapipe.types import Sample

DIMS = {"text": 6, "audio": 5, "vision": 4}


def samples(videos: Sequence[str], letters: str = "M", first: int = 1) -> list[Sample]:
    """Clips whose labels follow their text, numbered in their videos from ``first`` on backwards."""
    counts: dict[str, int] = {}
    out = []
    for seed, video in enumerate(videos):
        number = counts[video] = counts.get(video, first + videos.count(video)) - 1
        features = fakes.features(DIMS, steps=4, seed=seed)
        label = float(features["text"].values.mean().clip(-1, 1))
        out.append(Sample(f"{video}$_${number}", features, dict.fromkeys(letters, label), "train", video))
    return out


@pytest.fixture
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def test_batches_hold_whole_videos_in_the_order_of_time() -> None:
    table = TensorTable.of(samples(["b", "a", "b", "c", "a", "b"], first=9), DIMS)
    found = [[table.ids[row] for row in batch.index.tolist()] for batch in table.batches(torch.arange(6), 2, True)]  # type: ignore[union-attr]
    # 9 comes before 10: numbers are no words.
    assert found == [["b$_$9", "b$_$10", "b$_$11", "a$_$9", "a$_$10"], ["c$_$9"]]
    assert table.count(torch.arange(6), 2, True) == 2
    assert len(list(table.batches(torch.arange(6), 4))) == table.count(torch.arange(6), 4) == 2


def test_predictions_come_in_the_order_of_the_clips(fabric: Fabric) -> None:
    table = TensorTable.of(samples(["b", "a", "b", "c", "a", "b"]), DIMS)
    torch.manual_seed(0)
    model = BcLstm(DIMS, hidden=8).eval()
    said = predict(model, table, fabric).score
    order = torch.tensor([5, 2, 0])  # video b, its clips by number
    with torch.inference_mode():
        assert torch.allclose(said[order], model(table.rows(order)).score, atol=1e-5)
    assert len(said) == 6


def test_a_model_by_video_is_trained_in_both_phases(fabric: Fabric) -> None:
    videos = [f"v{number // 4}" for number in range(40)]
    train, valid = (TensorTable.of(samples(part), DIMS) for part in (videos[:32], videos[32:]))
    torch.manual_seed(0)
    loop = Loop(BcLstm(DIMS, hidden=16, dropout=0.0), train, valid, Settings(epochs=15, lr=1e-2), fabric)
    history = loop.run()
    for name in ("unimodal", "fusion"):
        losses = [float(line["loss"]) for line in history if line["phase"] == name]
        assert losses[-1] < 0.8 * losses[0]


class Watched(Late):
    """Notes of which phase each loss is asked for, and for how many clips."""

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__(dims)
        self.asked: list[tuple[str, int]] = []

    def phases(self) -> tuple[Phase, ...]:
        return (replace(super().phases()[-1], name="all", epochs=1, batch=4, mixed=True),)

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        if self.training:
            self.asked.append((phase, len(batch)))
        return super().loss(output, batch, phase)


def test_an_epoch_begins_with_all_clips_those_without_a_label_too(fabric: Fabric) -> None:
    clips = samples([f"v{number}" for number in range(10)])
    clips = [replace(clip, labels={}) if number >= 4 else clip for number, clip in enumerate(clips)]
    model = Watched(DIMS)
    Loop(model, TensorTable.of(clips, DIMS), TensorTable.of(clips[:4], DIMS), Settings(), fabric).run()
    assert model.asked == [("all_mixed", 4), ("all_mixed", 4), ("all_mixed", 2), ("all", 4)]


def test_the_semi_supervised_model_learns_with_a_fifth_of_the_labels(fabric: Fabric) -> None:
    clips = samples([f"v{number}" for number in range(60)], "MTAV")
    some = [clip if number % 5 == 0 else replace(clip, labels={}) for number, clip in enumerate(clips[:50])]
    torch.manual_seed(0)
    model = AvMcSemi(DIMS, post_dropout=0.0)
    history = Loop(
        model, TensorTable.of(some, DIMS), TensorTable.of(clips[50:], DIMS), Settings(epochs=12), fabric
    ).run()
    losses = [float(line["loss"]) for line in history]
    assert losses[-1] < losses[0]


def data(clips: Sequence[Sample]) -> DataSet:
    return DataSet("small", tuple(clips), {"features": {}, "align": None}, (-1.0, 1.0))


@pytest.mark.parametrize(
    ("model", "params", "clips", "reason"),
    [
        ("av_mc", {}, samples(["a", "a"]), "label T, A or V"),
        ("self_mm", {"unimodal": "labels"}, samples(["a", "a"]), "unimodal=pseudo"),
        ("mmmu_ba", {}, samples(["a", "b", "c"]), "context=false"),
        ("bc_lstm", {}, [replace(clip, video=clip.id) for clip in samples(["a", "a"])], "video_id"),
        ("mag_bert", {}, samples(["a", "a"]), "aligned to the steps of the text"),
        ("cm_bert", {}, samples(["a", "a"]), "aligned=false"),
        ("hma", {}, samples(["a", "a"]), "aligned to the steps of the text"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(
    model: str, params: dict[str, Any], clips: list[Sample], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"{model} cannot be trained on small: .*{reason}"):
        Study(data(clips), model, params, Settings(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_fits_is_not(tmp_path: Path) -> None:
    Study(data(samples(["a", "a"], "MTAV")), "av_mc", {}, Settings(), tmp_path)
    Study(data(samples(["a", "a"])), "mag_bert", {"aligned": False}, Settings(), tmp_path)
    Study(data(samples(["a", "b", "a"])), "ma_rnn", {}, Settings(), tmp_path)


@pytest.mark.parametrize("by", ["norm", "value"])
def test_a_gradient_is_cut_by_norm_or_by_value(by: Any, fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[float] = []

    class Cut(Late):
        def phases(self) -> tuple[Phase, ...]:
            return (replace(super().phases()[-1], epochs=1, clip=1e-3, clip_by=by),)

        def after_step(self, output: Output, batch: Batch, phase: str, epoch: int) -> None:
            return

    step = torch.optim.Adam.step

    def watched(self: torch.optim.Adam, *more: Any) -> Any:
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        whole = torch.cat([grad.flatten() for grad in grads])
        found.append(float(whole.abs().max() if by == "value" else whole.norm()))
        return step(self, *more)

    for optimiser in (torch.optim.Adam, torch.optim.AdamW):
        monkeypatch.setattr(optimiser, "step", watched)
    clips = samples([f"v{number}" for number in range(8)])
    Loop(Cut(DIMS), TensorTable.of(clips, DIMS), TensorTable.of(clips, DIMS), Settings(), fabric).run()
    assert found
    assert max(found) == pytest.approx(1e-3, rel=1e-2)
