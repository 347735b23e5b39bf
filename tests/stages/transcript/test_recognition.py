"""Words out of sound: recognised where they are spoken, and none where nothing is."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msapipe.errors import ConfigError
from msapipe.stages import _pocketsphinx
from msapipe.stages.transcript.pocketsphinx import Pocketsphinx
from msapipe.types import Transcript, Waveform

RATE = 16000
JFK = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"

Sound = Callable[[Path], Waveform]


@pytest.fixture(scope="module")
def stage() -> Pocketsphinx:
    recogniser = Pocketsphinx()
    recogniser.load("cpu")
    return recogniser


def spoken(samples: Path, clip: str) -> str:
    """What a sample clip says, by the script that made it."""
    for node in ast.parse((samples / "make.py").read_text()).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "WORDS" and node.value:
            return " ".join(re.findall(r"[a-z']+", " ".join(ast.literal_eval(node.value)[clip]).lower()))
    raise LookupError("make.py has no WORDS")


def word_errors(want: str, got: str) -> float:
    """Word error rate: substitutions, insertions and deletions per word spoken."""
    a, b = want.split(), got.split()
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1] / len(a)


def check_words(transcript: Transcript, waveform: Waveform) -> None:
    ends = 0.0
    for word in transcript.words:
        assert word.start is not None
        assert word.end is not None
        assert word.confidence is not None
        assert ends <= word.start + 1e-6 < word.end <= waveform.seconds + 1e-9
        assert 0 <= word.confidence <= 1
        assert re.fullmatch(r"[a-z][a-z'.-]*", word.text), word.text
        ends = word.end


def test_a_sample_clip(stage: Pocketsphinx, sound: Sound, samples: Path) -> None:
    waveform = sound(samples / "positive.mp4")
    transcript = stage.run(waveform)
    check_words(transcript, waveform)
    assert (transcript.language, transcript.source) == ("en", "pocketsphinx")
    assert word_errors(spoken(samples, "positive"), transcript.text) <= 0.25


def test_jfk(stage: Pocketsphinx, sound: Sound, shared: Path) -> None:
    waveform = sound(shared / "media/audio/jfk.flac")
    transcript = stage.run(waveform)
    check_words(transcript, waveform)
    assert word_errors(JFK, transcript.text) <= 0.25


def no_speech(kind: str) -> Waveform:
    t = np.arange(5 * RATE) / RATE
    if kind == "silence":
        samples = np.zeros(len(t))
    elif kind == "tone":
        samples = 0.5 * np.sin(2 * np.pi * 440 * t)
    elif kind == "noise":
        samples = np.random.default_rng(0).normal(0, 0.2, len(t))
    elif kind == "clipped noise":
        samples = np.sign(np.random.default_rng(0).normal(0, 1, len(t)))
    else:
        roots = 220 * 2 ** (np.array([0, 5, 7, 0])[(t / 0.75).astype(int) % 4] / 12)
        phase = 2 * np.pi * np.cumsum(roots) / RATE
        chord = [np.sin(phase * ratio * k) / k for ratio in (1, 1.26, 1.5) for k in (1, 2, 3)]
        samples = 0.1 * np.sum(chord, axis=0) * np.exp(-2 * (t % 0.75))
    return Waveform(samples.astype(np.float32), RATE)


@pytest.mark.parametrize("kind", ["silence", "tone", "noise", "clipped noise", "chords"])
def test_no_word_is_invented(stage: Pocketsphinx, kind: str) -> None:
    assert stage.run(no_speech(kind)) == Transcript((), "en", "pocketsphinx", recognised=True)


@pytest.mark.parametrize("count", [0, 1, 800])
def test_hardly_any_sound(stage: Pocketsphinx, count: int) -> None:
    assert stage.run(Waveform(np.full(count, 0.1, np.float32), RATE)).words == ()


def test_what_was_heard_before_changes_nothing(stage: Pocketsphinx, sound: Sound, samples: Path) -> None:
    waveform = sound(samples / "positive.mp4")
    short = Waveform(waveform.samples[: 2 * RATE], RATE)
    first = stage.run(short)
    assert first.words
    # Another decoder in the same process, with other frequencies, and other sound.
    other = Pocketsphinx(warp=0.9)
    other.load("cpu")
    assert other.run(short) != first
    stage.run(Waveform(np.ascontiguousarray(short.samples[::-1]), RATE))
    plain = _pocketsphinx.SphinxDecoder(language_model=False)
    plain.expect(["hello"])
    for _ in range(2):
        plain.hear(short.samples)
        assert stage.run(short) == first


@pytest.mark.parametrize(
    "bad",
    [{"speech": 0.0}, {"speech": 1.0}, {"max_states": 1}, {"longest": 0.1}, {"pad": -1.0}, {"warp": float("nan")}],
)
def test_impossible_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Pocketsphinx(**bad)


def test_every_recogniser_of_a_process_hears_the_same(sound: Sound, samples: Path) -> None:
    waveform = sound(samples / "two_faces.mp4")
    heard = []
    for _ in range(2):
        recogniser = Pocketsphinx()
        recogniser.load("cpu")
        heard += [recogniser.run(waveform=waveform) for _ in range(2)]
    assert all(words == heard[0] for words in heard)
