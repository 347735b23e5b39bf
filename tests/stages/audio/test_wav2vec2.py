"""Wav2Vec2 against transformers, its head against audeering's model card, windows against the whole sound."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

from msapipe.errors import ConfigError, WeightsError
from msapipe.pipeline.spec import build
from msapipe.stages._speech_net import _windows
from msapipe.stages.audio.wav2vec2 import Wav2vec2
from msapipe.testing import fakes, tiny
from msapipe.types import FeatureSequence, Waveform

RATE = 16000


@pytest.fixture(scope="module")
def checkpoint(tiny_weights: Path) -> Path:
    """As audeering's: layer norm in the convolutions, stable layer norm, a head."""
    return Path(tiny.params("audio", "wav2vec2", tiny_weights)["checkpoint"])


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return shutil.copytree(checkpoint, tmp_path / "copy")


def sound(seconds: float, seed: int = 0) -> Waveform:
    """Noise whose loudness and colour change all the time, at about -25 dB."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 0.06, int(seconds * RATE))
    t = np.arange(len(noise)) / RATE
    return Waveform((noise * (1 + np.sin(5 * t)) + 0.05 * np.sin(900 * t**1.5)).astype(np.float32), RATE)


def features(folder: Path, waveform: Waveform, **params: Any) -> FeatureSequence:
    stage = Wav2vec2(checkpoint=str(folder), **params)
    stage.load("cpu")
    return stage.run(waveform)


def reference(folder: Path, waveform: Waveform) -> list[NDArray[np.float32]]:
    """What enters each layer, what the last one gives, and the network's output, by transformers alone."""
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    values = extractor(waveform.samples, sampling_rate=RATE, return_tensors="pt").input_values
    with torch.inference_mode():
        out = Wav2Vec2Model.from_pretrained(folder).eval()(values, output_hidden_states=True)
    return [state[0].numpy() for state in (*out.hidden_states, out.last_hidden_state)]


def assert_close(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """The same but for rounding: convolutions are added up in another order."""
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("seconds", [0.025, 0.05, 1.0, 3.21])
def test_numbers_are_those_of_transformers(checkpoint: Path, seconds: float) -> None:
    waveform = sound(seconds)
    states = reference(checkpoint, waveform)
    for layers, expected in (
        ("last", states[-1]),
        (3, states[-1]),
        (-1, states[-1]),
        (2, states[2]),
        (-2, states[2]),
        (0, states[0]),
        ([1, 2], (states[1] + states[2]) / 2),
        ([1, -1], (states[1] + states[-1]) / 2),
    ):
        found = features(checkpoint, waveform, layers=layers)
        assert_close(found.values, expected)
        assert found.names[:2] == ("wav2vec2_0", "wav2vec2_1")
        assert found.valid.all()
        assert not found.notes


class CardHead(nn.Module):
    """The head as on the model card of audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense, self.dropout, self.out_proj = nn.Linear(width, width), nn.Dropout(0.1), nn.Linear(width, 3)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        return self.out_proj(self.dropout(torch.tanh(self.dense(self.dropout(pooled)))))


def test_the_head_is_that_of_the_model_card(checkpoint: Path) -> None:
    waveform = sound(2.5)
    waveform.samples[RATE:] = 0
    head = CardHead(32).eval()
    tensors = load_file(checkpoint / "model.safetensors")
    head.load_state_dict({k[11:]: v for k, v in tensors.items() if k.startswith("classifier.")}, strict=True)
    with torch.inference_mode():
        expected = head(torch.from_numpy(reference(checkpoint, waveform)[-1]).mean(0)).numpy()
    found = features(checkpoint, waveform, head=True, layers=1)
    assert found.names[-3:] == ("arousal", "dominance", "valence")
    assert 40 < found.valid.sum() < 52
    assert np.abs(found.values[found.valid, -3:] - expected).max() < 1e-5
    assert np.array_equal(found.values[:, :-3], features(checkpoint, waveform, layers=1).values)
    assert np.abs(expected).max() > 0.1


def test_windows_are_as_the_whole_sound_but_for_attention(checkpoint: Path) -> None:
    waveform = sound(17)
    for layers, tolerance in ((0, 1e-5), ("last", 0.01)):
        whole = features(checkpoint, waveform, layers=layers)
        parts = features(checkpoint, waveform, layers=layers, chunk_seconds=6.0, overlap_seconds=1.5, head=True)
        off = np.abs(parts.values[:, :-3] - whole.values)
        assert off.max() < tolerance * np.abs(whole.values).max()
        assert np.array_equal(parts.times, whole.times)
        assert "5 windows of 6 s" in parts.notes[0]
    dimensions = features(checkpoint, waveform, head=True).values[:, -3:]
    assert np.abs(parts.values[:, -3:] - dimensions).max() < 0.01


@given(rows=st.integers(0, 500), size=st.integers(1, 60), data=st.data())
def test_windows_cover_all_rows_once_with_context(rows: int, size: int, data: st.DataObject) -> None:
    context = data.draw(st.integers(0, size // 4))
    windows = _windows(rows, size, context)
    assert [row for _, first, last in windows for row in range(first, last)] == list(range(rows))
    for start, first, last in windows:
        end = min(start + size, rows)
        assert start <= first < last <= end
        assert first == 0 or first - start >= context
        assert last == rows or end - last >= context


def test_rows_are_counted_as_transformers_does(checkpoint: Path) -> None:
    stage = Wav2vec2(checkpoint=str(checkpoint))
    stage.load("cpu")
    lengths = np.arange(400, 5000, 7)
    counts = stage._backbone._get_feat_extract_output_lengths(torch.from_numpy(lengths)).tolist()
    assert [stage._net.rows(int(length)) for length in lengths] == counts
    assert (stage._net.hop, stage._net.field) == (320, 400)


def test_times_cover_the_sound_and_silence_is_invalid(checkpoint: Path) -> None:
    waveform = sound(1.0101)
    waveform.samples[:8000] = 0
    found = features(checkpoint, waveform)
    assert found.values.shape == (50, 32)
    assert np.allclose(found.times[:, 0], np.arange(50) * 0.02)
    assert np.array_equal(found.times[1:, 0], found.times[:-1, 1])
    assert found.times[-1, 1] == waveform.seconds
    assert np.array_equal(found.valid, np.arange(50) >= 24)  # row 24 hears samples 7680 to 8080
    assert not found.values[:24].any()
    assert_close(found.values[24:], reference(checkpoint, waveform)[-1][24:])


def test_shorter_than_one_row_is_filled_up(checkpoint: Path) -> None:
    short = sound(0.01)
    found = features(checkpoint, short)
    normal = (short.samples - short.samples.mean()) / np.sqrt(short.samples.var() + 1e-7)
    padded = torch.from_numpy(np.pad(normal, (0, 240)))[None]
    with torch.inference_mode():
        expected = Wav2Vec2Model.from_pretrained(checkpoint).eval()(padded).last_hidden_state[0].numpy()
    assert np.allclose(found.values, expected, atol=1e-6)
    assert found.times.tolist() == [[0.0, 0.01]]
    assert found.valid.all()
    for nothing in (Waveform(np.zeros(0, np.float32), RATE), Waveform(np.zeros(0, np.float32), 44100)):
        assert features(checkpoint, nothing, head=True).values.shape == (0, 35)


def test_other_rates_are_heard_alike(checkpoint: Path) -> None:
    t = np.arange(24000) / 24000
    slow = Waveform((0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32), 24000)
    right = Waveform((0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32), RATE)
    found, expected = features(checkpoint, slow), features(checkpoint, right)
    assert found.values.shape == expected.values.shape
    assert np.abs(found.values - expected.values)[5:-5].max() < 0.05


def test_the_same_bits_whatever_was_heard_before(checkpoint: Path) -> None:
    stage = Wav2vec2(checkpoint=str(checkpoint), head=True, chunk_seconds=2, overlap_seconds=0.5)
    stage.load("cpu")
    first = stage.run(sound(5))
    stage.run(fakes.waveform(3.3))
    stage.run(sound(0.3))
    assert np.array_equal(stage.run(sound(5)).values, first.values)


def test_published_files_have_older_names(checkpoint: Path, copy: Path) -> None:
    """Hub checkpoints are of transformers 4: weight_g and weight_v, some as pytorch_model.bin, vocab_size null."""
    names = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}
    tensors = load_file(copy / "model.safetensors")
    for new, old in names.items():
        tensors = {name.replace(new, old): item for name, item in tensors.items()}
    assert any(name.endswith("weight_g") for name in tensors)
    config = json.loads((copy / "config.json").read_text())
    config |= {"vocab_size": None, "gradient_checkpointing": False, "torch_dtype": "float32"}
    (copy / "config.json").write_text(json.dumps(config))
    expected = features(checkpoint, sound(1), head=True).values
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert np.array_equal(features(copy, sound(1), head=True).values, expected)
    (copy / "model.safetensors").unlink()
    torch.save(tensors, copy / "pytorch_model.bin")
    assert np.allclose(features(copy, sound(1), head=True).values, expected, atol=1e-6)


def test_what_a_checkpoint_must_be(checkpoint: Path, copy: Path, tiny_weights: Path) -> None:
    hubert = Path(tiny.params("audio", "hubert", tiny_weights)["checkpoint"])
    with pytest.raises(WeightsError, match="checkpoint of hubert; expected one of wav2vec2"):
        features(hubert, sound(1))
    ctc = Path(tiny.params("words", "ctc", tiny_weights)["checkpoint"])
    with pytest.raises(WeightsError, match=r"classifier\.dense"):
        features(ctc, sound(1), head=True)
    assert features(ctc, sound(1)).values.shape == (49, 32)
    preprocessor = copy / "preprocessor_config.json"
    content = json.loads(preprocessor.read_text())
    preprocessor.write_text(json.dumps({**content, "sampling_rate": 8000}))
    with pytest.raises(WeightsError, match="hears 8000 Hz"):
        features(copy, sound(1))
    preprocessor.write_text(json.dumps({**content, "do_normalize": False}))
    raw = features(copy, sound(1)).values
    assert not np.array_equal(raw, features(checkpoint, sound(1)).values)
    assert_close(raw, reference(copy, sound(1))[-1])
    preprocessor.unlink()
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json"):
        features(copy, sound(1))
    shutil.copy(checkpoint / "preprocessor_config.json", preprocessor)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "id2label": {"0": "a", "1": "b", "2": "c"}}))
    with pytest.raises(WeightsError, match="its head tells a, b, c; expected arousal"):
        features(copy, sound(1), head=True)


@pytest.mark.parametrize("layers", [4, -5, [1, 4]])
def test_a_layer_that_is_not_there(checkpoint: Path, layers: int | list[int]) -> None:
    with pytest.raises(ConfigError, match=r"the checkpoint has 3 layers: 0 \(before the first\) to 3, or -4 to -1"):
        features(checkpoint, sound(1), layers=layers)


@pytest.mark.parametrize(
    "bad",
    [
        {"layers": []},
        {"layers": "first"},
        {"chunk_seconds": 0.5},
        {"overlap_seconds": 6.0},
        {"overlap_seconds": -1.0},
        {"floor_db": 3.0},
        {"chunk_seconds": float("nan")},
    ],
)
def test_impossible_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        build(Wav2vec2, bad, "audio.wav2vec2")


def test_parameters_as_a_pipeline_writes_them() -> None:
    for layers in ("last", 7, -2, [9, 10, 11]):
        assert build(Wav2vec2, {"layers": layers}, "audio.wav2vec2").layers == layers
