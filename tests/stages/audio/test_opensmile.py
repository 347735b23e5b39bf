"""openSMILE's features against openSMILE itself."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from msapipe.errors import MissingLibrary, MissingWeights
from msapipe.stages.audio.opensmile import FeatureSetName, Opensmile
from msapipe.testing import fakes
from msapipe.types import Waveform
from msapipe.weights.ready import make_ready

SETS = get_args(FeatureSetName)
COLUMNS = {
    "eGeMAPSv02": (25, 88),
    "eGeMAPSv01b": (23, 88),
    "GeMAPSv01b": (18, 62),
    "ComParE_2016": (65, 6373),
    "emobase": (26, 988),
    "IS09": (16, 384),
    "IS10": (38, 1582),
    "IS13": (65, 6373),
}


def stage(**params: Any) -> Opensmile:
    made = Opensmile(**params)
    made.load("cpu")
    return made


def directly(sound: Waveform, feature_set: str, level: str) -> Any:
    opensmile = pytest.importorskip("opensmile")
    kind = {"lld": "LowLevelDescriptors", "functionals": "Functionals"}[level]
    with warnings.catch_warnings(action="ignore"):
        smile = opensmile.Smile(opensmile.FeatureSet[feature_set], opensmile.FeatureLevel[kind])
        return smile.process_signal(sound.samples, sound.rate)


@pytest.mark.parametrize("level", ["lld", "functionals"])
@pytest.mark.parametrize("feature_set", SETS)
def test_numbers_and_names_are_opensmiles(feature_set: str, level: str) -> None:
    sound = fakes.waveform(1.234)
    want = directly(sound, feature_set, level)
    features = stage(feature_set=feature_set, level=level).run(sound)
    assert features.values.shape[1] == COLUMNS[feature_set][level == "functionals"]
    assert np.array_equal(features.values, want.to_numpy(np.float32))
    assert features.names == tuple(want.columns)
    starts = want.index.get_level_values("start").total_seconds().to_numpy()
    assert np.allclose(
        features.times[:-1, 0], starts[:-1]
    )  # of some sets the last row begins where the one before does
    assert np.array_equal(features.times[:-1, 1], features.times[1:, 0])
    assert features.times[-1, 1] == sound.seconds
    assert features.valid.all()
    assert not features.notes


def test_real_speech(shared: Path, sound: Callable[[Path], Waveform]) -> None:
    heard = sound(shared / "media" / "audio" / "jfk.flac")
    features = stage().run(heard)
    assert np.array_equal(features.values, directly(heard, "eGeMAPSv02", "lld").to_numpy(np.float32))
    pitch = features.values[:, features.names.index("F0semitoneFrom27.5Hz_sma3nz")]
    hertz = 27.5 * 2 ** (pitch[pitch > 0] / 12)
    assert 90 < np.median(hertz) < 250


@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.05])
@pytest.mark.parametrize("level", ["lld", "functionals"])
def test_a_sound_that_is_too_short_is_one_invalid_row(level: str, seconds: float) -> None:
    features = stage(level=level).run(fakes.waveform(seconds))
    assert features.times.tolist() == [[0, seconds]]
    assert not features.valid.any()
    assert features.notes == (f"{seconds * 1000:.0f} ms of sound are too short for openSMILE's windows",)


@pytest.mark.parametrize("feature_set", SETS)
def test_the_shortest_sounds_have_times_in_order(feature_set: str) -> None:
    made = stage(feature_set=feature_set)
    for milliseconds in range(15, 90, 5):
        sound = fakes.waveform(milliseconds / 1000)
        features = made.run(sound)
        assert features.times[-1, 1] == sound.seconds


def test_no_sound_at_all() -> None:
    features = stage().run(Waveform(np.zeros(0, np.float32), 16000))
    assert features.values.shape == (0, 25)


def test_digital_silence_is_not_valid() -> None:
    half = np.concatenate([fakes.waveform(1).samples, np.zeros(16000, np.float32)])
    features = stage().run(Waveform(half, 16000))
    assert features.valid[features.times[:, 0] < 0.99].all()
    assert not features.valid[features.times[:, 0] > 1.0].any()
    assert not stage(level="functionals").run(fakes.waveform(1, "silence")).valid.any()


def test_full_scale_does_not_turn_over() -> None:
    """openSMILE makes -1.0 of 1.0."""
    loud = np.sign(fakes.waveform(0.5).samples) * np.float32(1)
    loudness = "Loudness_sma3"
    made = stage()
    whole = made.run(Waveform(loud, 16000))
    nearly = made.run(Waveform(loud * np.float32(0.999), 16000))
    column = whole.names.index(loudness)
    assert np.allclose(whole.values[:, column], nearly.values[:, column], rtol=0.01)


def test_any_rate() -> None:
    sound = fakes.waveform(1)
    twice = Waveform(np.repeat(sound.samples, 3), 48000)
    assert len(stage().run(twice).values) == len(stage().run(sound).values)


def test_numbers_that_are_not_finite_are_0() -> None:
    import pandas

    made = stage()
    values = made._smile.process_signal(fakes.waveform(0.1).samples, 16000)
    values.iloc[1, 2], values.iloc[2, :] = np.inf, np.nan

    class Odd:
        def process_signal(self, samples: np.ndarray, rate: int) -> pandas.DataFrame:
            return values

    made._smile = Odd()
    features = made.run(fakes.waveform(0.1))
    assert features.values[1, 2] == 0
    assert features.values[1, 3] == values.iloc[1, 3]
    assert features.valid.tolist() == [True, True, False, True, True, True]
    assert features.notes == ("26 of 150 numbers of openSMILE are not finite; they are 0",)


def test_it_starts_no_thread_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made = stage()
    monkeypatch.chdir(tmp_path)
    threads = len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0
    with warnings.catch_warnings(action="error"):
        made.run(fakes.waveform(0.5))
        made.run(fakes.waveform(0.02))
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    assert (len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0) == threads


def test_its_licence_must_be_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    (weights,) = Opensmile(feature_set="ComParE_2016").own_weights()
    with pytest.raises(MissingWeights, match="audEERING"):
        make_ready(weights)
    make_ready(weights, accepts=["opensmile"])
    assert weights.path().name == "ComParE_2016.conf"


def test_without_the_library_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(MissingLibrary, match="--extra opensmile"):
        stage()
