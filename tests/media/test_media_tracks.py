"""Which sound track, and which of its channels, is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from msapipe.media import Decoder, MediaOptions
from msapipe.types import Clip, Waveform
from tests.media.making import Sound, add_sound, mux_sound, write_sound

LOW, HIGH = 300, 900


def tone(pitch: float, level: float = 0.5, seconds: float = 1.0) -> Sound:
    clock = np.arange(round(seconds * 16000)) / 16000
    return np.asarray(level * np.sin(2 * np.pi * pitch * clock), np.float32)[None]


def silent(seconds: float = 1.0) -> Sound:
    return np.zeros((1, round(seconds * 16000)), np.float32)


def write_tracks(
    path: Path, sounds: Sequence[Sound], setup: Callable[[list[Any]], None] = lambda _: None, codec: str = "pcm_f32le"
) -> Path:
    """A sound file with several tracks; ``setup`` gets the streams."""
    with av.open(str(path), "w") as container:
        streams = [add_sound(container, sound, 16000, codec) for sound in sounds]
        setup(streams)
        for stream, sound in zip(streams, sounds, strict=True):
            mux_sound(container, stream, sound, 16000)
    return path


def hear(decoder: Decoder, path: Path, start: float = 0.0, end: float | None = None) -> Waveform:
    return decoder.waveform(Clip("a", path, start, end), MediaOptions())


def pitch(wave: Waveform) -> float:
    power = np.abs(np.fft.rfft(wave.samples))
    return float(power.argmax() / len(wave.samples) * wave.rate)


@pytest.mark.parametrize(
    ("sounds", "read"),
    [
        ([silent(), tone(HIGH)], 1),
        ([silent(), silent(), tone(HIGH)], 2),
        ([np.concatenate([tone(LOW, seconds=0.05), silent(0.95)], axis=1), tone(HIGH)], 1),  # a click
        ([tone(LOW, level=1e-4), tone(HIGH)], 1),  # the hum of an open line
    ],
)
def test_a_silent_track_does_not_hide_the_next(
    decoder: Decoder, tmp_path: Path, sounds: list[Sound], read: int
) -> None:
    wave = hear(decoder, write_tracks(tmp_path / "a.mkv", sounds))
    assert pitch(wave) == pytest.approx(HIGH, abs=2)
    assert f"{len(sounds)} sound streams; stream {read} is read" in wave.notes[0]
    assert "is silent" in wave.notes[0]


def test_the_first_track_with_sound_is_read(decoder: Decoder, tmp_path: Path) -> None:
    wave = hear(decoder, write_tracks(tmp_path / "a.mkv", [tone(LOW, 0.05), tone(HIGH)]))
    assert pitch(wave) == pytest.approx(LOW, abs=2)
    assert "stream 0 is read" in wave.notes[0]


def test_silence_is_that_of_the_stretch(decoder: Decoder, tmp_path: Path) -> None:
    late = np.concatenate([silent(), tone(LOW)], axis=1)
    path = write_tracks(tmp_path / "a.mkv", [late, tone(HIGH, seconds=2)])
    assert pitch(hear(decoder, path, 0.0, 1.0)) == pytest.approx(HIGH, abs=2)
    assert pitch(hear(decoder, path, 1.0, 2.0)) == pytest.approx(LOW, abs=2)


def test_of_silent_tracks_the_first_is_read(decoder: Decoder, tmp_path: Path) -> None:
    wave = hear(decoder, write_tracks(tmp_path / "a.mkv", [silent(), silent()]))
    assert not wave.samples.any()
    assert [note for note in wave.notes if "stream 0 is read" in note]
    assert "The sound is silent throughout." in wave.notes


def flags(place: int, flag: Disposition) -> Callable[[list[Any]], None]:
    def setup(streams: list[Any]) -> None:
        for stream in streams:
            stream.disposition = Disposition(0)
        streams[place].disposition = flag

    return setup


def titled(title: str) -> Callable[[list[Any]], None]:
    def setup(streams: list[Any]) -> None:
        streams[0].metadata["title"] = title

    return setup


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        (flags(1, Disposition.default), "marked as default"),
        (flags(0, Disposition.comment), "stream 0 is a commentary"),
        (flags(0, Disposition.comment | Disposition.default), "stream 0 is a commentary"),
        (flags(0, Disposition.visual_impaired), "stream 0 is an audio description"),
        (titled("Director's commentary"), "stream 0 is a commentary"),
        (titled("English (Audio Description)"), "stream 0 is an audio description"),
        (titled("导演评论音轨"), "stream 0 is a commentary"),
    ],
)
def test_flags_and_titles_say_which_track_is_the_films(
    decoder: Decoder, tmp_path: Path, setup: Callable[[list[Any]], None], said: str
) -> None:
    wave = hear(decoder, write_tracks(tmp_path / "a.mkv", [tone(LOW), tone(HIGH)], setup))
    assert pitch(wave) == pytest.approx(HIGH, abs=2)
    assert said in wave.notes[0]


def test_a_commentary_is_better_than_silence_and_is_named(decoder: Decoder, tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", [tone(LOW), silent()], flags(0, Disposition.comment))
    wave = hear(decoder, path)
    assert pitch(wave) == pytest.approx(LOW, abs=2)
    assert "it is a commentary" in wave.notes[0]


@pytest.mark.parametrize("gain", [-1.0, -0.8, -1.2])
@pytest.mark.parametrize("turned", [0, 8000])
def test_channels_that_cancel_each_other_out_are_not_mixed(
    decoder: Decoder, tmp_path: Path, gain: float, turned: int
) -> None:
    left = tone(LOW)[0]
    right = np.where(np.arange(16000) >= turned, gain, 1).astype(np.float32) * left
    wave = hear(decoder, write_sound(tmp_path / "a.wav", np.stack([left, right])))
    assert np.abs(wave.samples[100:7900]).max() == pytest.approx(np.abs(wave.samples[8100:-100]).max(), rel=0.25), (
        "no half of it is lost"
    )
    assert "cancel each other out" in wave.notes[0]
    assert f"channel {1 if gain >= -1 else 2} alone" in wave.notes[0]


def test_two_of_six_channels_that_cancel_are_found(decoder: Decoder, tmp_path: Path) -> None:
    six = np.zeros((6, 16000), np.float32)
    six[0], six[1] = tone(LOW)[0], -tone(LOW)[0]
    assert pitch(hear(decoder, write_sound(tmp_path / "a.wav", six))) == pytest.approx(LOW, abs=2)


def test_stereo_with_nothing_in_common_is_mixed(decoder: Decoder, tmp_path: Path) -> None:
    random = np.random.default_rng(0).normal(0, 0.1, (2, 16000)).astype(np.float32)
    wave = hear(decoder, write_sound(tmp_path / "a.wav", random))
    mean = random.mean(axis=0)
    np.testing.assert_allclose(wave.samples / np.abs(wave.samples).max(), mean / np.abs(mean).max(), atol=1e-5)
    assert wave.notes == []
