"""What evaluate says of each clip, which classes it takes for which, and what is left with worse features."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from msapipe.errors import ConfigError
from msapipe.formats import FORMATS
from msapipe.fusion.agfn import Agfn
from msapipe.fusion.hma import Hma
from msapipe.report import figures
from msapipe.train.corruption import noisy, parse_noise, without
from msapipe.train.evaluate import SCORED_AT_ONCE, predict_samples
from msapipe.train.metrics import confusions, of_classes
from msapipe.train.per_clip import records
from msapipe.types import FeatureSequence, Sample
from tests.program import run_program
from tests.train.test_comparison import QUICK, clips


def long_clips(count: int) -> list[Sample]:
    """Clips of 2 to 6 steps: batches of them are padded to different lengths."""
    found = []
    for number in range(count):
        steps = 2 + number % 5 if number < SCORED_AT_ONCE else 2
        starts = np.arange(steps, dtype=np.float64)
        values = np.random.default_rng(number).normal(size=(steps, 4)).astype(np.float32)
        part = FeatureSequence(values, np.stack([starts, starts + 1], 1), np.ones(steps, bool))
        found.append(Sample(f"{number}", {"text": part, "audio": part}, {"M": 0.5}, "test", text="a b"))
    return found


def test_nothing_that_a_model_says_is_dropped() -> None:
    torch.manual_seed(0)
    samples = long_clips(SCORED_AT_ONCE + 4)
    model = Hma({"text": 4, "audio": 4}, text_width=8)
    output = predict_samples(model, samples)
    assert output.diagnostics["attention_audio"].shape == (len(samples), 6, 6)
    alone = predict_samples(model, samples[-1:])
    for row, whole in ((-1, records(model, samples, output)[-1]), (0, records(model, samples[:1], output)[0])):
        steps = len(samples[row].features["text"].values)
        attention = np.array(whole["diagnostics"]["attention_audio"])[:steps, :steps]
        np.testing.assert_allclose(attention.sum(axis=1), 1, rtol=1e-5)
        assert len(whole["diagnostics"]["shift_text"]) >= steps
    (record,) = records(model, samples[-1:], alone)
    assert np.shape(record["diagnostics"]["attention_audio"]) == (2, 2)
    gates = Agfn({"text": 4, "audio": 4}, d=8, heads=2)
    (record,) = records(gates, samples[:1], predict_samples(gates, samples[:1]))
    assert set(record["diagnostics"]["w"]) == {"text", "audio"}
    assert sum(record["diagnostics"]["w"].values()) == pytest.approx(1)
    assert record["diagnostics"]["alpha"] == pytest.approx(0.5)
    assert record["error"] == pytest.approx(abs(0.5 - record["score"]))


def test_gates_and_attention_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    samples = long_clips(1)
    model = Hma({"text": 4, "audio": 4}, text_width=8)
    (record,) = records(model, samples, predict_samples(model, samples))
    figure = figures.draw_diagnostics(record, ["good", "film"])
    titles = {axes.get_title(): axes for axes in figure.axes}
    np.testing.assert_allclose(
        titles["attention_audio"].images[0].get_array(), record["diagnostics"]["attention_audio"], rtol=1e-6
    )
    assert [label.get_text() for label in titles["attention_audio"].get_xticklabels()] == ["good", "film"]
    with pytest.raises(ConfigError, match="no gates and no attention"):
        figures.draw_diagnostics({**record, "diagnostics": {"alpha": 0.5}, "unimodal": {}})


def test_classes_taken_for_others_by_hand() -> None:
    found = confusions([-1, -0.05, 0.5, 1], [-0.8, 0.6, 0.05, 0.9], "sims")
    assert found["acc2"].counts.tolist() == [[1, 1], [0, 2]]
    assert found["acc3"].counts.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 1]]
    assert found["acc5"].counts.sum() == 4
    seven = confusions([-3, 0.4, 2.6], [-2.6, 0.6, 9], "mosi")["acc7"]
    assert seven.classes == ("-3", "-2", "-1", "0", "+1", "+2", "+3")
    assert [tuple(place) for place in np.argwhere(seven.counts)] == [(0, 0), (3, 4), (6, 6)]
    head = of_classes([-1, 0, 1], [[2, 0], [2, 0], [2, 0]], (0.0,))
    assert head.counts.tolist() == [[1, 0], [1, 0]]  # the label 0 is of neither class


def test_noise_has_the_power_that_is_asked_for() -> None:
    samples = long_clips(400)
    found = noisy(samples, {"audio": 10.0}, ("text", "audio"))
    before = np.concatenate([sample.features["audio"].values for sample in samples])
    after = np.concatenate([sample.features["audio"].values for sample in found])
    assert 10 * np.log10(before.var() / (after - before).var()) == pytest.approx(10, abs=0.3)
    assert all(a.features["text"] is b.features["text"] for a, b in zip(samples, found, strict=True))
    some = noisy(samples, {"audio": 10.0}, ("text", "audio"))[7]
    np.testing.assert_array_equal(some.features["audio"].values, found[7].features["audio"].values)
    assert parse_noise(["audio=10dB", "vision=-3"]) == {"audio": 10.0, "vision": -3.0}
    for call, said in (
        (lambda: parse_noise(["audio"]), "expected MODALITY=RATIO"),
        (lambda: noisy(samples, {"vision": 0.0}, ("text", "audio")), "reads no such modality"),
        (lambda: without(samples, ["text", "audio"], ("text", "audio")), "nothing is left"),
    ):
        with pytest.raises(ConfigError, match=said):
            call()


def test_evaluate_per_clip_and_with_worse_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    features, model, table = (tmp_path / name for name in ("f.safetensors", "model", "clips.csv"))
    FORMATS.get("safetensors")().write(features, clips())
    small = ("--set", "d=8", "--set", "heads=2")
    assert run_program("train", features, "-m", "agfn", *small, *QUICK, "-o", model) == 0
    capsys.readouterr()
    assert run_program("evaluate", features, "-m", model, "--json", "--confusion", "--per-clip", table) == 0
    whole = json.loads(capsys.readouterr().out)
    assert sum(map(sum, whole["confusion"]["acc3"]["counts"])) == 12
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert {"label", "label_T", "score", "error", "w_text", "g_vision", "alpha"} <= set(rows[0])
    assert np.mean([float(row["error"]) for row in rows]) == pytest.approx(whole["mae"], abs=1e-6)
    assert run_program("evaluate", features, "-m", model, "--json", "--without", "text", "--noise", "audio=0dB") == 0
    worse = json.loads(capsys.readouterr().out)
    assert (worse["without"], worse["noise"]) == (["text"], ["audio=0dB"])
    assert worse["mae"] != whole["mae"]
    assert run_program("evaluate", features, "-m", model, "--without", "smell") == 2
    assert "reads no such modality" in capsys.readouterr().err
    assert run_program("evaluate", features, "-m", model, "--per-clip", tmp_path / "clips.xlsx") == 2
    figure = tmp_path / "clip.svg"
    assert run_program("explain", features, "-m", model, "--clip", "clip40", "-o", figure) == 0
    assert figure.read_bytes().startswith(b"<?xml")
    assert run_program("explain", features, "-m", model, "--clip", "clip400", "-o", figure) in (1, 2)
    assert "has no such clip" in capsys.readouterr().err
