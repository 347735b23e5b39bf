"""HuBERT against transformers, with both kinds of norm; windows against the whole sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from msapipe.errors import ConfigError
from msapipe.stages import STAGES, _speech_convolutions, _speech_net
from msapipe.stages._speech_convolutions import Convolutions
from msapipe.stages.audio.hubert import Hubert
from msapipe.testing import fakes, tiny
from msapipe.testing.tiny._speech import CONFIG, write_preprocessor
from msapipe.types import FeatureSequence, Waveform

RATE = 16000


@pytest.fixture(scope="module")
def checkpoint(tiny_weights: Path) -> Path:
    """As hubert-base: group norm over time in the first convolution."""
    return Path(tiny.params("audio", "hubert", tiny_weights)["checkpoint"])


@pytest.fixture(scope="module")
def large(tiny_weights: Path) -> Path:
    """As hubert-large: layer norm in every convolution, stable layer norm."""
    folder = tiny_weights / "hubert_large"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = HubertConfig(**CONFIG, feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True)
        HubertModel(config).save_pretrained(folder)
    write_preprocessor(folder, return_attention_mask=True)
    return folder


def fading(seconds: float) -> Waveform:
    """Noise that grows: no stretch of it has the statistics of the whole."""
    noise = np.random.default_rng(0).normal(0, 1, int(seconds * RATE))
    return Waveform((noise * np.linspace(0.01, 0.3, len(noise))).astype(np.float32), RATE)


def features(folder: Path, waveform: Waveform, **params: Any) -> FeatureSequence:
    stage = Hubert(checkpoint=str(folder), **params)
    stage.load("cpu")
    return stage.run(waveform)


def reference(folder: Path, samples: NDArray[np.float32]) -> Any:
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    values = extractor(samples, sampling_rate=RATE, return_tensors="pt").input_values
    with torch.inference_mode():
        return HubertModel.from_pretrained(folder).eval()(values, output_hidden_states=True)


def off(found: NDArray[np.float32], whole: NDArray[np.float32]) -> float:
    return float(np.abs(found - whole).max() / np.abs(whole).max())


@pytest.mark.parametrize("kind", ["checkpoint", "large"])
def test_numbers_are_those_of_transformers(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    for waveform in (fakes.waveform(2.2), fading(0.05)):
        out = reference(folder, waveform.samples)
        last = out.last_hidden_state[0].numpy()
        assert off(features(folder, waveform).values, last) < 1e-5
        middle = (out.hidden_states[0] + out.hidden_states[2])[0].numpy() / 2
        assert off(features(folder, waveform, layers=[0, 2]).values, middle) < 1e-5
        assert off(features(folder, waveform, layers=-1).values, last) < 1e-5


@pytest.mark.parametrize("kind", ["checkpoint", "large"])
def test_windows_are_as_the_whole_sound_but_for_attention(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    waveform = fading(13.37)
    parts: dict[str, Any] = {"chunk_seconds": 6.0, "overlap_seconds": 1.5}
    assert off(features(folder, waveform, layers=0, **parts).values, features(folder, waveform, layers=0).values) < 1e-5
    assert off(features(folder, waveform, **parts).values, features(folder, waveform).values) < 0.01


def test_without_the_norm_of_the_whole_sound_windows_would_differ(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waveform = fading(13.37)
    whole = features(checkpoint, waveform, layers=0).values
    measure = Convolutions.measure
    monkeypatch.setattr(Convolutions, "measure", lambda self, sound, *more: measure(self, sound[: 6 * RATE], *more))
    assert off(features(checkpoint, waveform, layers=0, chunk_seconds=6.0, overlap_seconds=1.5).values, whole) > 0.1


def test_the_norm_is_measured_in_pieces_and_then_forgotten(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Hubert(checkpoint=str(checkpoint), layers=0, chunk_seconds=6.0, overlap_seconds=1.5)
    stage.load("cpu")
    short = stage.run(fakes.waveform(1.0))
    long = stage.run(fading(13.37))
    monkeypatch.setattr(_speech_convolutions, "_FRAMES", 777)
    assert off(stage.run(fading(13.37)).values, long.values) < 1e-5
    assert np.array_equal(stage.run(fakes.waveform(1.0)).values, short.values)


@pytest.mark.parametrize("kind", ["hubert", "wav2vec2"])
def test_sound_of_hours_is_normalised_in_pieces(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = STAGES["audio"].get(kind)(**tiny.params("audio", kind, tmp_path), chunk_seconds=6.0, overlap_seconds=1.5)
    stage.load("cpu")
    sound = fakes.waveform(20.0)
    sound = Waveform(sound.samples + np.float32(0.02), sound.rate)
    wanted = stage.run(sound).values
    monkeypatch.setattr(_speech_net, "_MOST_WHOLE", 1000)
    monkeypatch.setattr("msapipe.types.sound.PIECE", 1000)
    assert off(stage.run(sound).values, wanted) < 1e-5


def test_context_is_thrown_away(checkpoint: Path) -> None:
    """With less context than the convolution of positions reaches over, seams are seen."""
    waveform = fading(13.37)
    whole = features(checkpoint, waveform, layers=0).values
    assert off(features(checkpoint, waveform, layers=0, chunk_seconds=6.0, overlap_seconds=0.0).values, whole) > 0.01


def test_silence_and_nothing(checkpoint: Path) -> None:
    silent = features(checkpoint, fakes.waveform(1.0, "silence"))
    assert silent.values.shape == (49, 32)
    assert not silent.valid.any()
    assert features(checkpoint, Waveform(np.zeros(0, np.float32), RATE)).values.shape == (0, 32)
    assert features(checkpoint, fakes.waveform(0.05)).times.tolist() == [[0, 0.02], [0.02, 0.05]]


def test_its_errors_name_it(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hubert: layers names 13; the checkpoint has 3 layers"):
        features(checkpoint, fakes.waveform(1.0), layers=13)
    with pytest.raises(ConfigError, match="hubert: overlap_seconds"):
        Hubert(chunk_seconds=4.0, overlap_seconds=2.0)


def test_the_tiny_checkpoint_is_like_the_published_one(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    assert config["feat_extract_norm"] == "group"
    assert config["conv_kernel"] == [10, 3, 3, 3, 3, 2, 2]
    assert config["conv_stride"] == [5, 2, 2, 2, 2, 2, 2]
