"""Level, mixing and placing of sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from msapipe.media import Decoder, MediaOptions
from msapipe.types import Clip, Waveform
from tests.media.making import sine, write_sound, write_video

PLAIN = MediaOptions()


def hear(decoder: Decoder, path: Path, start: float = 0.0, end: float | None = None) -> Waveform:
    return decoder.waveform(Clip("a", path, start, end), PLAIN)


def test_peak_is_at_minus_3_dbfs(decoder: Decoder, tmp_path: Path) -> None:
    wave = hear(decoder, write_sound(tmp_path / "a.wav", sine(level=0.1)))
    assert np.abs(wave.samples).max() == pytest.approx(10 ** (-3 / 20), abs=1e-6)
    assert len(wave.samples) == 16000
    assert wave.notes == []


def test_downmix_is_the_plain_mean(decoder: Decoder, tmp_path: Path) -> None:
    left, right = sine()[0], np.zeros(16000, np.float32)
    right[8000:] = left[8000:]
    wave = hear(decoder, write_sound(tmp_path / "a.wav", np.stack([left, right])))
    alone, both = np.abs(wave.samples[:8000]).max(), np.abs(wave.samples[8000:]).max()
    assert both / alone == pytest.approx(2, rel=1e-3)


def test_one_live_channel_of_six_is_heard(decoder: Decoder, tmp_path: Path) -> None:
    sound = np.zeros((6, 16000), np.float32)
    sound[3] = sine()[0]
    wave = hear(decoder, write_sound(tmp_path / "a.wav", sound))
    np.testing.assert_allclose(wave.samples / wave.samples.max(), sound[3] / sound[3].max(), atol=1e-4)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_resampling_keeps_time(decoder: Decoder, tmp_path: Path, rate: int) -> None:
    sound = np.zeros((1, 2 * rate), np.float32)
    sound[0, rate : rate + rate // 10] = sine(0.1, rate)[0]
    wave = hear(decoder, write_sound(tmp_path / "a.wav", sound, rate))
    assert wave.seconds == pytest.approx(2, abs=0.01)
    loud = np.flatnonzero(np.abs(wave.samples) > 0.1)
    assert loud[0] / 16000 == pytest.approx(1.0, abs=0.002)
    assert loud[-1] / 16000 == pytest.approx(1.1, abs=0.002)


def test_late_sound_has_silence_before_it(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [i / 10 for i in range(50)], sound=sine(), sound_start=3.0)
    wave = hear(decoder, path)
    assert wave.seconds == pytest.approx(4, abs=0.01)
    assert not wave.samples[: 3 * 16000 - 40].any()
    assert np.flatnonzero(wave.samples)[0] / 16000 == pytest.approx(3, abs=0.003)


def test_span(decoder: Decoder, tmp_path: Path) -> None:
    ramp = np.linspace(0, 0.9, 32000, dtype=np.float32)[None]
    path = write_sound(tmp_path / "a.wav", ramp)
    wave = hear(decoder, path, 0.5, 1.5)
    assert len(wave.samples) == 16000
    np.testing.assert_allclose(wave.samples / wave.samples[-1], ramp[0, 8000:24000] / ramp[0, 23999], atol=1e-5)
    assert hear(decoder, path, 10.0).notes == ["There is no sound in this stretch."]


def test_span_that_begins_before_late_sound(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [i / 10 for i in range(50)], sound=sine(), sound_start=3.0)
    wave = hear(decoder, path, 2.0, 3.5)
    assert len(wave.samples) == 24000
    assert np.flatnonzero(wave.samples)[0] / 16000 == pytest.approx(1, abs=0.003)


def test_silence_stays_silent(decoder: Decoder, tmp_path: Path) -> None:
    wave = hear(decoder, write_sound(tmp_path / "a.wav", np.zeros((2, 16000), np.float32)))
    assert len(wave.samples) == 16000
    assert not wave.samples.any()
    assert "silent" in wave.notes[0]


def test_nan_and_infinity_become_silent(decoder: Decoder, tmp_path: Path) -> None:
    sound = sine()
    sound[0, [100, 200, 300]] = np.nan, np.inf, -1e30
    wave = hear(decoder, write_sound(tmp_path / "a.wav", sound))
    assert np.isfinite(wave.samples).all()
    assert not wave.samples[[100, 200, 300]].any()
    assert np.abs(wave.samples).max() == pytest.approx(10 ** (-3 / 20), abs=1e-6)
    assert wave.notes[0].startswith("3 samples")


def test_no_sound_at_all(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [0.0, 0.04])
    assert decoder.probe(path).audio is None
    wave = hear(decoder, path)
    assert len(wave.samples) == 0
    assert wave.notes == ["The file has no sound that can be read."]


def test_negative_start_is_placed(decoder: Decoder, shared: Path) -> None:
    wave = hear(decoder, shared / "badmedia/synthetic/a07_audio_starts_3s_late.mp4")
    first = np.flatnonzero(np.abs(wave.samples) > 0.05)[0] / 16000
    assert first == pytest.approx(3.0, abs=0.04)
