"""Silero VAD written out, against the package's own TorchScript, and on sounds that are no speech."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from msapipe.media import decoder as media
from msapipe.media.options import MediaOptions
from msapipe.stages._pocketsphinx import Heard, SphinxDecoder, hear_stretches, utterances
from msapipe.stages._speech import RATE, SILERO, SpeechDetector, at_16k
from msapipe.types import Clip, Waveform


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """So small a network is slower with threads, and many times so on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


@pytest.fixture(scope="module")
def speech(samples: Path) -> NDArray[np.float32]:
    with media.Decoder() as decoder:
        return decoder.waveform(Clip("positive", samples / "positive.mp4"), MediaOptions()).samples


def test_equal_to_the_packaged_model(detector: SpeechDetector, speech: NDArray[np.float32]) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        packaged = torch.jit.load(SILERO.path())  # type: ignore[no-untyped-call]
    theirs = packaged.audio_forward(torch.from_numpy(speech.copy())[None], RATE).numpy()[0]
    ours = detector.probabilities(speech)
    assert np.abs(ours - theirs[: len(ours)]).max() < 1e-4
    assert ours.max() > 0.9


def test_spans_are_those_of_the_package(detector: SpeechDetector, speech: NDArray[np.float32]) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from silero_vad import get_speech_timestamps, load_silero_vad  # sets torch to one thread, as is here already

        twice = np.concatenate([speech, np.zeros(RATE, np.float32), speech])
        found = get_speech_timestamps(torch.from_numpy(twice), load_silero_vad(), speech_pad_ms=0)
    theirs = [(span["start"] / RATE, span["end"] / RATE) for span in found]
    assert len(theirs) >= 2
    assert np.allclose(detector.spans(twice), theirs)


def test_pieces_of_a_long_sound_make_no_seam(
    detector: SpeechDetector, speech: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = detector.probabilities(speech)
    monkeypatch.setattr("msapipe.stages._speech._PIECE", 7)
    assert np.abs(detector.probabilities(speech) - whole).max() < 1e-5


@pytest.mark.parametrize("kind", ["silence", "tone", "noise", "chords"])
def test_no_speech_where_there_is_none(detector: SpeechDetector, kind: str) -> None:
    assert detector.spans(no_speech(kind)) == []


def no_speech(kind: str) -> NDArray[np.float32]:
    t = np.arange(6 * RATE) / RATE
    if kind == "silence":
        return np.zeros(len(t), np.float32)
    if kind == "tone":
        return (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    if kind == "noise":
        return np.random.default_rng(0).normal(0, 0.2, len(t)).astype(np.float32)
    roots = 220 * 2 ** (np.array([0, 5, 7, 0])[(t / 0.75).astype(int) % 4] / 12)
    phase = 2 * np.pi * np.cumsum(roots) / RATE
    chord = sum(np.sin(phase * ratio * k) / k for ratio in (1, 1.26, 1.5) for k in (1, 2, 3))
    return np.asarray(0.1 * chord * np.exp(-2 * (t % 0.75)), np.float32)


@pytest.mark.parametrize("count", [0, 1, 511, 512, 513, 800])
def test_any_length(detector: SpeechDetector, count: int) -> None:
    found = detector.probabilities(np.full(count, 0.1, np.float32))
    assert found.shape == (-(-count // 512),)
    assert np.isfinite(found).all()


def test_torch_is_not_imported() -> None:
    program = (
        "import sys, numpy; from msapipe.stages._speech import SpeechDetector; "
        "SpeechDetector().spans(numpy.zeros(9999, 'f')); assert not {'torch', 'silero_vad'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_resampling_keeps_a_tone(rate: int) -> None:
    t = np.arange(rate) / rate
    out = at_16k(Waveform(np.sin(2 * np.pi * 1000 * t).astype(np.float32), rate))
    want = np.sin(2 * np.pi * 1000 * np.arange(len(out)) / RATE)
    assert len(out) == RATE
    assert np.abs(out - want)[200:-200].max() < 5e-3


def test_resampling_lets_nothing_fold_back() -> None:
    t = np.arange(48000) / 48000
    out = at_16k(Waveform(np.sin(2 * np.pi * 12000 * t).astype(np.float32), 48000))
    assert np.abs(out)[200:-200].max() < 0.01


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 40), max_size=24), st.floats(0, 0.4), st.floats(1, 30))
def test_utterances_cover_all_speech_and_never_overlap(lengths: list[float], pad: float, longest: float) -> None:
    edges = np.cumsum(lengths[: len(lengths) // 2 * 2])
    spans = [(float(a), float(b)) for a, b in edges.reshape(-1, 2)]
    groups = utterances(spans, pad, longest)
    assert all(sum(end - start for start, end in group) <= longest + 1e-6 for group in groups)
    found = [stretch for group in groups for stretch in group]
    assert all(a[1] <= b[0] + 1e-6 for a, b in pairwise(found))
    for start, end in spans:
        covered = sum(max(0.0, min(end, last) - max(start, first)) for first, last in found)
        assert covered == pytest.approx(end - start, abs=1e-6)


class Told(SphinxDecoder):
    """A decoder that gives fixed words."""

    def __init__(self, *words: Heard) -> None:
        self.words = list(words)

    def hear(self, samples: NDArray[np.float32]) -> list[Heard]:
        assert len(samples) == 2 * RATE
        return self.words


def test_times_of_joined_stretches_count_as_in_the_whole() -> None:
    decoder = Told(Heard("a", 0.2, 0.5, 1), Heard("b", 0.9, 1.3, 1), Heard("c", 1.4, 2.0, 1))
    found = hear_stretches(decoder, np.zeros(9 * RATE, np.float32), [(1.0, 2.0), (5.0, 6.0)])
    times = [(word.text, round(word.start, 6), round(word.end, 6)) for word in found]
    assert times == [("a", 1.2, 1.5), ("b", 5.0, 5.3), ("c", 5.4, 6.0)]
