"""What is large stays small: pictures as bytes, padding of one batch, and frozen networks that run once a clip."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from msapipe.formats import FORMATS
from msapipe.fusion.boosting import Boosting
from msapipe.fusion.sf import Sf
from msapipe.testing import fakes
from msapipe.testing.tiny import text_bert
from msapipe.train import _ragged
from msapipe.train.loop import Loop
from msapipe.train.settings import Settings
from msapipe.train.table import TensorTable
from msapipe.types import FeatureSequence, Sample

SIDE = 40
DIMS = {"text": 6, "vision": 3 * SIDE**2}


def film(steps: int, seed: int, unit: float = 255) -> FeatureSequence:
    """Pictures as the stage pixels gives them; one step in four has no face."""
    made = np.random.default_rng(seed)
    valid = made.random(steps) < 0.75
    values = made.integers(0, 256, (steps, DIMS["vision"])).astype(np.float32) * valid[:, None] / np.float32(unit)
    times = np.stack([np.arange(steps), np.arange(1, steps + 1)], axis=1) / 10
    return FeatureSequence(values.astype(np.float32), times, valid)


def clips(unit: float = 255) -> list[Sample]:
    made = []
    for i in range(12):
        features = fakes.features({"text": 6}, steps=3 + i, seed=i)
        if i != 5:
            features["vision"] = film(1 + 3 * i, i, unit)
        labels = {"M": i % 3 - 1.0, "T": 0.5, "A": 0.1, "V": -0.5}
        made.append(Sample(f"{i}", features, labels, ["train", "valid", "test"][i % 3]))
    return made


def padded(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> TensorTable:
    """The table with everything padded to the longest clip."""
    with monkeypatch.context() as patch:
        patch.setattr(_ragged, "WIDE", 10**9)
        return TensorTable.of(samples, DIMS)


@pytest.mark.parametrize(("unit", "kind"), [(255, torch.uint8), (200, torch.float32)])
def test_batches_are_the_same_bit_by_bit(unit: float, kind: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = clips(unit)
    table, whole = TensorTable.of(samples, DIMS), padded(samples, monkeypatch)
    assert set(table.ragged) == {"vision"}
    assert table.ragged["vision"].rows.dtype == kind
    assert not whole.ragged
    for rows in (torch.tensor([0, 5]), torch.tensor([7, 2, 3]), torch.arange(12)):
        one, other = table.rows(rows), whole.rows(rows)
        for name in DIMS:
            assert torch.equal(one.values[name], other.values[name])
            assert torch.equal(one.mask[name], other.mask[name])


def test_bytes_and_no_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = clips()
    steps = sum(len(s.features["vision"].values) for s in samples if "vision" in s.features)
    rows = TensorTable.of(samples, DIMS).ragged["vision"].rows
    assert rows.nbytes == steps * DIMS["vision"]
    assert padded(samples, monkeypatch).whole.values["vision"].nbytes > 7 * rows.nbytes


def test_what_is_large_is_standardised_as_what_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = clips()
    whole = padded(samples, monkeypatch)
    table = TensorTable.of(samples, DIMS)
    model = Sf(DIMS)
    for name in DIMS:
        for one, other in zip(table.statistics(name), whole.statistics(name), strict=True):
            assert torch.allclose(one, other, atol=1e-6)
        mean, std = whole.statistics(name)
        model.get_buffer(f"center_{name}").copy_(mean)
        model.get_buffer(f"std_{name}").copy_(std)
    for each in (table, whole):
        each.standardize(model)
    rows = torch.tensor([4, 1])
    assert torch.allclose(table.rows(rows).values["vision"], whole.rows(rows).values["vision"], atol=1e-6)


def test_many_narrow_rows_are_not_padded_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ragged, "MOST_PADDED", 1000)
    assert set(TensorTable.of(clips(), DIMS).ragged) == {"text", "vision"}


def test_pictures_of_a_file_are_read_when_they_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    FORMATS.get("safetensors")().write(path, clips())
    for made, read in zip(clips(), FORMATS.get("safetensors")().read(path), strict=True):
        for name, part in made.features.items():
            assert np.array_equal(read.features[name].values, part.values)
            assert read.features[name].values.flags.writeable == (name != "vision")


NETWORK = {"embed_dim": 8, "depths": [2, 2], "num_heads": [1, 2], "window_size": [2, 3, 3]}


def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Boosting, TensorTable, dict[str, list[int]]]:
    """Boosting in two steps over ids and pictures, and how many clips each network was shown, by phase."""
    text_bert.build(tmp_path)
    samples = []
    for sample in clips():
        ids = np.array([[2.0, 0, -1], [6, 0, 0], [3, 0, -1]], np.float32)
        times = np.stack([np.arange(3.0), np.arange(1, 4.0)], axis=1)
        samples.append(
            replace(sample, features={**sample.features, "text": FeatureSequence(ids, times, np.ones(3, bool))})
        )
    dims = {"text": 3, "vision": DIMS["vision"]}
    config = (tmp_path / "config.json").read_text()
    torch.manual_seed(0)
    model = Boosting(dims, regime="two_step", language_config=config, video_config=json.dumps(NETWORK))
    shown: dict[str, list[int]] = {}
    for name, network in model.networks.items():
        forward = network.forward

        def counted(*args: Any, _name: str = name, _forward: Any = forward, **more: Any) -> Any:
            if model.training:
                shown.setdefault(f"{model.reads} {_name}", []).append(len(args[0]))
            return _forward(*args, **more)

        monkeypatch.setattr(network, "forward", counted)
    return model, TensorTable.of(samples, dims), shown


def test_a_phase_runs_its_own_extractor_and_frozen_ones_once_a_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, table, shown = networks(tmp_path, monkeypatch)
    Loop(model, table, table, Settings(epochs=3, batch=5), Fabric(accelerator="cpu", devices=1)).run()
    assert sorted(shown) == [
        "('text', 'vision') text",
        "('text', 'vision') vision",
        "('text',) text",
        "('vision',) vision",
    ]
    assert sum(shown["('text',) text"]) == 3 * 12
    assert sum(shown["('text', 'vision') text"]) == sum(shown["('text', 'vision') vision"]) == 12


def test_what_is_kept_is_what_the_networks_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, table, _ = networks(tmp_path, monkeypatch)
    model.choose("fusion", {}, torch.arange(12))
    model.train()
    for network in model.networks.values():
        network.eval()
    model.heads.eval()
    with torch.no_grad():
        first = model(table.rows(torch.arange(12))).score
        again = model(table.rows(torch.tensor([8, 2, 5]))).score
        alone = model.eval()(table.rows(torch.tensor([8, 2, 5]))).score
    assert torch.allclose(first[[8, 2, 5]], again, atol=1e-5)
    assert torch.allclose(alone, again, atol=1e-5)


FAULTS = """
import resource, torch
from msapipe.train import memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(10 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
with memory.kept():
    faults()  # until there is room
    print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_what_is_freed_is_used_again_while_a_model_trains() -> None:
    # In a process of its own: what other tests freed would be used again, too.
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, kept = map(int, done.stdout.split())
    assert kept < before / 4
