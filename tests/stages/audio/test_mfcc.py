"""MFCCs against librosa, pitch and energy against tones that are known."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from msapipe.errors import ConfigError
from msapipe.stages.audio import mfcc
from msapipe.stages.audio.mfcc import MFCC
from msapipe.types import Waveform

RATE = 16000
EVERYTHING = MFCC(floor_db=-120)  # no row of a noisy sound is silence


def noisy_chirp(samples: int, rate: int = RATE) -> NDArray[np.float32]:
    t = np.arange(samples) / rate
    chirp = np.sin(2 * np.pi * (100 * t + 900 * t**2)) * (0.5 + 0.4 * np.sin(9 * t))
    noise = np.random.default_rng(0).normal(0, 0.01, samples)
    return np.asarray(0.5 * chirp + noise, np.float32)


def tone(hertz: float, seconds: float = 1.0, level: float = 0.5) -> Waveform:
    t = np.arange(int(seconds * RATE)) / RATE
    return Waveform((level * np.sin(2 * np.pi * hertz * t)).astype(np.float32), RATE)


@pytest.mark.slow  # librosa compiles itself at its first call
@pytest.mark.parametrize(
    ("samples", "rate"), [(48000, 16000), (16037, 16000), (1500, 16000), (24000, 8000), (50000, 44100)]
)
def test_mfcc_and_deltas_are_librosas(samples: int, rate: int) -> None:
    librosa = pytest.importorskip("librosa")
    sound = noisy_chirp(samples, rate)
    ours = EVERYTHING.run(Waveform(sound, rate)).values
    window = round(0.025 * rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs: Any = librosa.feature.mfcc(
            y=sound,
            sr=rate,
            n_mfcc=40,
            n_mels=64,
            n_fft=1 << (window - 1).bit_length(),
            win_length=window,
            hop_length=round(0.010 * rate),
            pad_mode="constant",
        )
        slopes: Any = librosa.feature.delta(theirs)
    rows = len(ours)
    assert rows == -(-samples // round(0.010 * rate))
    assert np.abs(ours[:, :40] - theirs.T[:rows]).max() < 1e-4
    assert np.abs(ours[:, 40:80] - slopes.T[:rows]).max() < 1e-4


def test_pieces_make_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Waveform(noisy_chirp(30000), RATE)
    whole = EVERYTHING.run(sound).values
    monkeypatch.setattr(mfcc, "_ROWS", 28)
    assert np.abs(EVERYTHING.run(sound).values - whole).max() < 1e-3


@pytest.mark.parametrize("hertz", [80, 110, 147.5, 220, 333, 490])
def test_pitch_of_a_tone(hertz: float) -> None:
    rows = MFCC().run(tone(hertz)).values[10:-10]
    assert np.abs(rows[:, -2] - hertz).max() < 0.002 * hertz
    assert rows[:, -1].min() > 0.95


def test_pitch_of_a_rich_tone_is_its_first_partial() -> None:
    rich = sum(tone(120 * k, level=0.3 / k).samples for k in range(1, 12))
    rows = MFCC().run(Waveform(np.asarray(rich, np.float32), RATE)).values[10:-10]
    assert np.abs(rows[:, -2] - 120).max() < 1.5


def test_noise_has_no_pitch() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32)
    rows = MFCC().run(Waveform(noise, RATE)).values
    assert (rows[:, -2] > 0).mean() < 0.02


def test_energy_of_a_tone_is_that_of_a_sine() -> None:
    rows = MFCC().run(tone(200, level=0.5)).values[10:-10]
    assert np.abs(rows[:, -3] - 20 * np.log10(0.5 / np.sqrt(2))).max() < 0.1


def test_silence_is_invalid_and_zero_and_a_quiet_room_is_not() -> None:
    room = np.random.default_rng(2).normal(0, 10 ** (-50 / 20), RATE)
    sound = np.concatenate([np.zeros(RATE), tone(200).samples, room]).astype(np.float32)
    features = MFCC().run(Waveform(sound, RATE))
    assert not features.valid[:98].any()
    assert features.valid[102:].all()


def test_names_and_times() -> None:
    features = MFCC().run(tone(200, 0.255))
    assert features.values.shape == (26, 83)
    assert features.names[:2] == ("mfcc_0", "mfcc_1")
    assert features.names[40] == "delta_0"
    assert features.names[80:] == ("energy_db", "pitch_hz", "voicing")
    assert np.allclose(features.times[:, 0], np.arange(26) * 0.01)
    assert features.times[-1, 1] == pytest.approx(0.255)
    assert MFCC(n_mfcc=20, deltas=False, energy=False, pitch=False).run(tone(200)).values.shape == (100, 20)


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(0, 3000),
    rate=st.sampled_from([1000, 8000, 16000, 44100]),
    kind=st.sampled_from(["noise", "zeros", "click", "clipped", "tiny"]),
)
def test_always_finite_with_one_row_per_hop(samples: int, rate: int, kind: str) -> None:
    noise = np.random.default_rng(samples).normal(0, 0.2, samples)
    sound = {
        "noise": noise,
        "zeros": np.zeros(samples),
        "click": np.where(np.arange(samples) == samples // 2, 1.0, 0.0),
        "clipped": np.sign(noise),
        "tiny": noise * 1e-30,
    }[kind]
    features = MFCC().run(Waveform(sound.astype(np.float32), rate))  # FeatureSequence itself refuses NaN
    assert features.values.shape == (-(-samples // round(0.010 * rate)), 83)
    assert not features.valid.any() or kind not in ("zeros", "tiny")


@pytest.mark.parametrize(
    "bad",
    [{"n_mfcc": 0}, {"n_mfcc": 65}, {"hop": 0.0}, {"hop": 0.05}, {"window": 2.0}, {"floor_db": 1.0}, {"n_mels": 1000}],
)
def test_impossible_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        MFCC(**bad)


def test_a_long_sound_whose_bands_are_not_kept_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Waveform(noisy_chirp(50 * RATE), RATE)
    wanted = EVERYTHING.run(sound).values
    monkeypatch.setattr(mfcc, "_MOST_KEPT", 1)
    assert np.array_equal(EVERYTHING.run(sound).values, wanted)
