"""Statistics of the voice against tones that are known, its classifier against sklearn, and both on people."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from msapipe.errors import ConfigError
from msapipe.stages.audio import _prosody_statistics as measured
from msapipe.stages.audio._prosody_classifier import EMOTIONS, PAIRS, VoiceClassifier, standardized
from msapipe.stages.audio._prosody_windows import SpeechWindow, speech_windows
from msapipe.stages.audio.mfcc import MFCC
from msapipe.stages.audio.prosody import NAMES, NEUTRAL, Prosody
from msapipe.testing import fakes
from msapipe.types import FeatureSequence, Waveform

RATE = 16000
TRAIN = Path(__file__).resolve().parents[3] / "models" / "pocket_voice" / "train.py"
INVARIANT = 1e-3

Floats = NDArray[np.float32]
Sound = Callable[[Path], Waveform]


@pytest.fixture(scope="module")
def stage() -> Prosody:
    prosody = Prosody()
    prosody.load("cpu")
    return prosody


@pytest.fixture(scope="module")
def voice(sound: Sound, samples: Path) -> Waveform:
    """Somebody speaks, in a clip of the repository."""
    return sound(samples / "positive.mp4")


@pytest.fixture(scope="module")
def train() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pocket_voice_train", TRAIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look there for their types
    spec.loader.exec_module(module)
    return module


def seconds_of(total: float) -> NDArray[np.float64]:
    return np.arange(int(total * RATE)) / RATE


def tone(hertz: float, total: float = 2.0) -> Floats:
    return np.asarray(0.3 * np.sin(2 * np.pi * hertz * seconds_of(total)), np.float32)


def noise(total: float = 2.0, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.1, int(total * RATE)).astype(np.float32)


def of(samples: Floats, *spans: tuple[float, float]) -> dict[str, float]:
    """Statistics by name, of all of it but the edges unless spans are named."""
    found = measured.statistics(samples, spans or ((0.1, len(samples) / RATE - 0.1),))
    return dict(zip(measured.NAMES, map(float, found), strict=True))


@pytest.mark.parametrize("hertz", [90, 147.5, 220, 410])
def test_pitch_of_a_tone(hertz: float) -> None:
    found = of(tone(hertz))
    assert found["pitch_p50"] == pytest.approx(12 * np.log2(hertz / 55), abs=0.05)
    assert found["pitch_range"] < 0.1
    assert found["voiced_share"] == 1
    assert np.exp(found["centroid_mean"]) - 50 == pytest.approx(hertz, rel=0.05)


def test_pitch_that_glides_an_octave_in_two_seconds() -> None:
    glide = np.sin(2 * np.pi * np.cumsum(110 * 2 ** (seconds_of(2) / 2)) / RATE).astype(np.float32)
    found = of(glide, (0.0, 2.0))
    assert found["pitch_range"] == pytest.approx(0.8 * 12, abs=0.15)
    assert found["pitch_step"] == pytest.approx(12 / 200, abs=0.01)


def test_noise_has_no_pitch_and_a_flat_spectrum() -> None:
    found = of(noise())
    assert found["voiced_share"] < 0.05
    assert found["flatness_mean"] == pytest.approx(-2.5, abs=0.2)  # the mean of log of an exponential: -0.577 in nepers
    assert np.exp(found["rolloff_mean"]) - 50 == pytest.approx(0.85 * 8000, rel=0.02)
    assert found["zero_crossings_mean"] == pytest.approx(0.5, abs=0.02)


def test_a_whisper_has_no_numbers_of_pitch_and_counts_as_the_mean() -> None:
    found = of(np.where(np.arange(2 * RATE) % 7000 == 0, 0.5, 0).astype(np.float32))
    assert np.isnan(found["pitch_mean"])
    row = np.array([list(found.values())])
    assert (standardized(row, np.zeros(row.shape[1]), np.ones(row.shape[1]))[np.isnan(row)] == 0).all()


def test_alpha_ratio_and_hammarberg_index_of_two_tones_are_their_ratio_in_decibels() -> None:
    for low, high in ((900, 1100), (100, 4900)):
        found = of(tone(low) + np.float32(0.1) * tone(high))
        assert found["alpha_ratio_mean"] == pytest.approx(-20, abs=0.2)
    for low, high in ((1900, 2100), (100, 4900)):
        found = of(tone(low) + np.float32(0.1) * tone(high))
        assert found["hammarberg_mean"] == pytest.approx(20, abs=1)


@pytest.mark.parametrize(("rate", "kind"), [(1, "0.5hz"), (3, "2hz"), (6, "4hz"), (12, "8hz")])
def test_modulation_lies_where_the_level_moves(rate: int, kind: str) -> None:
    t = seconds_of(4)
    found = of(noise(4) * np.asarray(10 ** (0.8 * np.sin(2 * np.pi * rate * t)), np.float32), (0.0, 4.0))
    shares = {name: value for name, value in found.items() if name.startswith("modulation")}
    for band in range(8):
        of_band = {name: value for name, value in shares.items() if name.endswith(f"_{band}")}
        assert max(of_band, key=lambda name: of_band[name]) == f"modulation_{kind}_{band}"
        assert sum(10 ** (value / 10) for value in of_band.values()) == pytest.approx(1, abs=0.05)


def test_rhythm_of_bursts() -> None:
    beats = np.maximum(0, np.sin(2 * np.pi * 4 * seconds_of(3))) ** 2
    found = of((tone(150, 3) * beats).astype(np.float32), (0.0, 1.0), (1.5, 3.0))
    assert found["syllable_rate"] == pytest.approx(4, abs=0.1)
    assert found["speech_density"] == pytest.approx(2.5 / 3, abs=0.01)
    assert found["phrase_rate"] == pytest.approx(2 / 3, abs=0.01)


def test_cepstrum_and_its_slopes_are_those_of_the_stage_mfcc() -> None:
    sound = noise(1) + tone(300, 1)
    normalised = sound * np.float32(0.1 / np.sqrt(np.square(sound, dtype=np.float64).mean()))
    rows = MFCC(n_mfcc=14, n_mels=40, floor_db=-120).run(Waveform(normalised, RATE)).values
    found = of(sound, (0.0, 0.9999))  # the frame at the very end left out, as mfcc does
    whole = of(sound, (0.0, 1.0))
    assert [whole[f"mfcc_{i}_mean"] for i in range(1, 14)] == pytest.approx(rows[:, 1:14].mean(0), abs=1e-3)
    assert [found[f"mfcc_{i}_std"] for i in range(14)] == pytest.approx(rows[:, :14].std(0), abs=1e-3)
    assert [found[f"delta_{i}_std"] for i in range(14)] == pytest.approx(rows[:, 14:28].std(0), abs=1e-3)


def test_the_classifier_is_sklearns(train: ModuleType, tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    random = np.random.default_rng(0)
    classes = np.tile(np.arange(4), 30)
    rows = train.Rows(random.normal(size=(120, 9)) * 3 + classes[:, None] * np.tile([1, -1, 2], 3) + 7, np.arange(120))
    made = train.fit(rows, classes, np.repeat(list("abc"), 40))
    made.save(tmp_path / "voice.safetensors")
    ours = VoiceClassifier.read(tmp_path / "voice.safetensors")
    inputs = standardized(rows.statistics, ours.mean, ours.spread).astype(np.float64)
    svc = SVC(C=train.COST, class_weight="balanced", decision_function_shape="ovo").fit(inputs, classes)
    fresh = random.normal(size=(50, 9)) * 3 + 10
    seen = standardized(fresh, ours.mean, ours.spread).astype(np.float64)
    decisions = ours.decisions(fresh)
    assert np.abs(decisions - svc.decision_function(seen)).max() < 1e-5
    votes = np.zeros((50, 4))
    for (a, b), says in zip(PAIRS, decisions.T, strict=True):
        votes[np.arange(50), np.where(says > 0, a, b)] += 1
    clear = np.sort(votes, axis=1)[:, -1] == 3
    assert clear.sum() > 30
    assert (votes.argmax(1) == svc.predict(seen))[clear].all()
    softmax = LogisticRegression()
    softmax.classes_, softmax.coef_, softmax.intercept_ = np.arange(4), ours.weight, ours.bias
    assert np.abs(ours.probabilities(fresh) - softmax.predict_proba(decisions)).max() < 1e-9


def test_a_voice(stage: Prosody, voice: Waveform) -> None:
    features = stage.run(voice)
    assert features.names == NAMES
    assert features.values.shape == (max(1, int(np.ceil(voice.seconds / 5 - 0.5))), 12)
    assert features.times[0, 0] == 0
    assert features.times[-1, 1] == pytest.approx(voice.seconds)
    assert features.valid.any()
    assert features.notes == ()
    rows = dict(zip(NAMES, features.values[features.valid].T, strict=True))
    angry, happy, neutral, sad = (rows[name] for name in EMOTIONS)
    assert angry + happy + neutral + sad == pytest.approx(1, abs=1e-5)
    away = happy - angry - sad - NEUTRAL
    assert rows["valence"] == pytest.approx(away / np.where(away > 0, 1 - NEUTRAL, 1 + NEUTRAL), abs=1e-5)
    assert rows["arousal"] == pytest.approx(angry + happy - neutral - sad, abs=1e-5)
    assert ((rows["speech"] > 0.1) & (rows["speech"] <= 1)).all()
    assert ((rows["voiced"] > 0.3) & (rows["voiced"] <= 1)).all()
    assert ((rows["syllable_rate"] > 1) & (rows["syllable_rate"] < 15)).all()
    hertz = MFCC().run(voice).values[:, -2]
    assert rows["pitch_semitones"].mean() == pytest.approx(12 * np.log2(np.median(hertz[hertz > 0]) / 55), abs=0.5)


@pytest.mark.parametrize("factor", [0.1, 0.003, 1.5])
def test_loudness_changes_nothing(stage: Prosody, voice: Waveform, factor: float) -> None:
    softer = stage.run(Waveform(voice.samples * np.float32(factor), voice.rate))
    assert np.abs(softer.values - stage.run(voice).values).max() < INVARIANT


def test_the_same_twice_whatever_ran_before(stage: Prosody, voice: Waveform) -> None:
    first = stage.run(voice).values
    stage.run(Waveform(noise(8), RATE))
    assert np.array_equal(stage.run(voice).values, first)


def test_other_rates_say_nearly_the_same(stage: Prosody, voice: Waveform) -> None:
    from scipy.signal import resample_poly

    faster = Waveform(resample_poly(voice.samples, 3, 1).astype(np.float32), 3 * voice.rate)
    assert np.abs(stage.run(faster).values - stage.run(voice).values)[:, :7].max() < 0.05


@pytest.mark.parametrize(
    ("samples", "noted"),
    [
        (np.zeros(2 * RATE, np.float32), False),
        (np.full(2 * RATE, 2e-5, np.float32), False),
        (noise(3), True),
        (tone(220, 3), True),
        (fakes.waveform(3).samples, True),
    ],
    ids=["silence", "nearly silence", "noise", "tone", "chord"],
)
def test_sound_without_a_voice_is_invalid(stage: Prosody, samples: Floats, noted: bool) -> None:
    features = stage.run(Waveform(samples, RATE))
    assert features.values.shape == (1, 12)
    assert not features.valid.any()
    assert bool(features.notes) == noted
    assert all("no speech heard" in note for note in features.notes)


def test_windows_without_speech_are_invalid_and_the_others_are_not(stage: Prosody, voice: Waveform) -> None:
    quiet = np.zeros(10 * RATE, np.float32)
    features = stage.run(Waveform(np.concatenate([quiet, voice.samples[: 5 * RATE], quiet]), RATE))
    assert len(features.values) == round((20 + min(5, voice.seconds)) / 5)
    assert not features.valid[[0, -1]].any()
    assert features.valid.any()
    assert features.notes == ()


def test_no_sound_is_no_rows(stage: Prosody) -> None:
    features = stage.run(Waveform(np.zeros(0, np.float32), RATE))
    assert features.values.shape == (0, 12)
    assert features.names == NAMES
    assert features.notes == ()


@pytest.mark.parametrize(("total", "count"), [(0.01, 1), (5, 1), (7.5, 1), (7.6, 2), (12.4, 2), (12.6, 3), (60, 12)])
def test_windows_are_equal_and_cover_the_sound(stage: Prosody, total: float, count: int) -> None:
    features = stage.run(Waveform(np.zeros(int(total * RATE), np.float32), RATE))
    lengths = np.diff(features.times, axis=1)
    assert len(lengths) == count
    assert lengths == pytest.approx(total / count, abs=1e-4)
    assert (features.times[1:, 0] == features.times[:-1, 1]).all()


def test_speech_is_cut_at_the_windows() -> None:
    class Told:
        """Says that there is speech from 1 s to 9 s, and from 9.5 s to 9.6 s."""

        def spans(self, samples: Floats, gain: float = 1.0) -> list[tuple[float, float]]:
            return [(1.0, 9.0), (9.5, 9.6)]

    told: Any = Told()
    first, second, third = speech_windows(noise(15), told, 5.0)
    assert first.spans == ((1.0, 5.0),)
    assert second.spans == ((0.0, 4.0), (4.5, pytest.approx(4.6)))
    assert second.speech == pytest.approx(4.1)
    assert third.spans == ()
    assert not third.has_speech
    assert not SpeechWindow(0, 5, noise(5), ((1.0, 1.19),)).has_speech


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 6000),
    kind=st.sampled_from(["noise", "zeros", "click", "clipped", "tiny", "loud"]),
    spans=st.sampled_from([[(0.0, 1.0)], [(0.0, 0.005)], [(0.05, 0.1), (0.2, 0.3)], []]),
)
def test_every_statistic_is_finite_or_not_measured(count: int, kind: str, spans: list[tuple[float, float]]) -> None:
    random = np.random.default_rng(count).normal(0, 0.2, count)
    sound = {
        "noise": random,
        "zeros": np.zeros(count),
        "click": np.where(np.arange(count) == count // 2, 1.0, 0.0),
        "clipped": np.sign(random),
        "tiny": random * 1e-30,
        "loud": random * 1e4,
    }[kind]
    found = measured.statistics(sound.astype(np.float32), spans)
    assert found.shape == (len(measured.NAMES),)
    assert not np.isinf(found).any()


@pytest.mark.parametrize("window", [0.0, 0.5, 31.0, float("nan")])
def test_impossible_windows_are_refused(window: float) -> None:
    with pytest.raises(ConfigError, match="window"):
        Prosody(window=window)


def test_people_who_only_talk_are_about_neutral(stage: Prosody, sound: Sound, shared: Path) -> None:
    paths = sorted((shared / "media" / "speech").glob("*.mp[4g]"))
    if not paths:
        pytest.skip("the films of talkers are not there")
    rows = [stage.run(sound(path)) for path in paths]
    said = [float(row.values[row.valid, NAMES.index("valence")].mean()) for row in rows]
    assert abs(float(np.median(said))) < 0.1


@pytest.mark.slow
def test_clips_that_it_learned_from_are_told_apart(stage: Prosody, train: ModuleType, shared: Path) -> None:
    clips = train.read_clips(shared / "data")
    rows: list[FeatureSequence] = [stage.run(Waveform(clip.samples, RATE)) for clip in clips]
    assert all(row.valid.all() for row in rows)
    said = np.array([row.values[:, :4].mean(0) for row in rows])
    found = train.figures(clips, said)
    assert found.macro > 0.97
    assert found.arousal > 0.97


@pytest.mark.slow
def test_speakers_whom_it_never_heard(train: ModuleType, shared: Path) -> None:
    clips = train.read_clips(shared / "data")
    said = train.leave_one_speaker_out(clips, seed=0)
    unheard = {name: train.figures(clips, rows) for name, rows in said.items()}
    assert unheard["clean"].macro >= 0.78
    assert unheard["clean"].arousal >= 0.95
    assert min(found.macro for found in unheard.values()) >= 0.74
