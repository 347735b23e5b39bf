"""The measuring program of the model pocket: what its figures are made of."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

PROGRAMS = Path(__file__).resolve().parents[1] / "models" / "pocket"


@pytest.fixture(scope="module")
def robustness() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROGRAMS))
        yield importlib.import_module("robustness")


def test_words_stay_whole_without_punctuation(robustness: ModuleType) -> None:
    text = "Well-known -- it's (um) the U.S., 100 % “great”!"
    assert robustness.without_punctuation(text).split() == ["Well", "known", "it's", "um", "the", "US", "100", "great"]
    assert robustness.without_apostrophes("it's what you’re") == "its what youre"


@pytest.mark.parametrize(
    ("heard", "share"),
    [("its bad", 0.0), ("It's BAD", 0.0), ("its a bad", 0.5), ("bad", 0.5), ("so good", 1.0), ("", 1.0)],
)
def test_words_wrong_missing_and_too_many_count_alike(robustness: ModuleType, heard: str, share: float) -> None:
    assert robustness.word_errors(["ITS BAD"], [heard]) == share


def test_noise_lies_ten_decibels_below(robustness: ModuleType) -> None:
    levelled = importlib.import_module("speech").levelled
    sound = levelled(np.sin(np.arange(16000) / 7).astype(np.float32))
    mixed = robustness.noisy(sound, seed=0)
    assert np.abs(mixed).max() == pytest.approx(10 ** (-3 / 20), rel=1e-5)
    gain = float(sound @ mixed / (sound @ sound))
    noise = mixed - gain * sound
    assert 10 * np.log10(np.mean((gain * sound) ** 2) / np.mean(noise**2)) == pytest.approx(10, abs=0.1)
    assert np.array_equal(mixed, robustness.noisy(sound, seed=0))
