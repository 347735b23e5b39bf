from __future__ import annotations

import numpy as np
import pytest

from msapipe.stages.audio.samples import Samples
from msapipe.testing import fakes
from msapipe.types import FeatureSequence, Waveform


def rows(waveform: Waveform) -> FeatureSequence:
    stage = Samples()
    stage.load("cpu")
    return stage.run(waveform)


def test_rows_one_behind_the_other_are_the_sound() -> None:
    sound = np.linspace(-1, 1, 2 * 320 + 10, dtype=np.float32)
    out = rows(Waveform(sound, 16000))
    assert out.values.shape == (3, 320)
    assert np.array_equal(out.values.ravel()[: len(sound)], sound)
    assert not out.values[2, 10:].any()
    assert np.allclose(out.times, [[0, 0.02], [0.02, 0.04], [0.04, 0.040625]])
    assert (out.names[0], out.names[-1], out.valid.all()) == ("sample_0", "sample_319", True)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (319, 1), (320, 1), (321, 2)])
def test_the_last_row_is_filled_up(count: int, expected: int) -> None:
    out = rows(Waveform(np.full(count, 0.5, np.float32), 16000))
    assert len(out.values) == expected
    assert int(np.count_nonzero(out.values)) == count
    assert out.times[-1, 1] == pytest.approx(count / 16000)


def test_a_pause_is_heard_and_nothing_but_silence_is_not() -> None:
    paused = np.zeros(1600, np.float32)
    paused[-1] = 0.1
    assert rows(Waveform(paused, 16000)).valid.tolist() == [True] * 5
    assert rows(fakes.waveform(0.1, "silence")).valid.tolist() == [False] * 5
    nothing = rows(Waveform(np.zeros(0, np.float32), 16000))
    assert nothing.values.shape == (0, 320)


def test_another_rate_is_heard_at_16_khz() -> None:
    times = np.arange(44100) / 44100
    out = rows(Waveform(np.sin(2 * np.pi * 440 * times).astype(np.float32), 44100))
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert out.values.shape == (50, 320)
    assert np.abs(out.values.ravel() - expected)[200:-200].max() < 1e-3
    assert out.times[-1, 1] == pytest.approx(1.0)
