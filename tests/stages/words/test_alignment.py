"""Forced alignment, against times that people marked and times at which words were synthesised."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from msapipe.errors import ConfigError
from msapipe.stages._pocketsphinx import Heard
from msapipe.stages.words._pronounceable import pronounceable
from msapipe.stages.words.pocketsphinx import Pocketsphinx
from msapipe.types import Transcript, Waveform, Word

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GRID: tuple[dict[str, str], ...] = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {},
    dict(zip("z123456789", DIGITS, strict=True)),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)

Sound = Callable[[Path], Waveform]


@pytest.fixture(scope="module")
def stage() -> Pocketsphinx:
    aligner = Pocketsphinx()
    aligner.load("cpu")
    return aligner


def words(text: str) -> Transcript:
    return Transcript(tuple(Word(word) for word in text.split()), None, "given")


def check(found: Transcript | None, asked: Transcript, waveform: Waveform) -> Transcript:
    assert found is not None
    assert [word.text for word in found.words] == [word.text for word in asked.words]
    last = 0.0
    for word in found.words:
        assert word.start is not None
        assert word.end is not None
        assert last <= word.start + 1e-9 <= word.end + 1e-9 <= waveform.seconds + 1e-6
        last = word.end
    return found


def test_starts_as_marked_by_people(stage: Pocketsphinx, sound: Sound, shared: Path) -> None:
    waveform = sound(shared / "media/speech/grid_swwp2s.mpg")
    marked = [line.split() for line in (shared / "media/speech/grid_swwp2s.align").read_text().splitlines()]
    marked = [line for line in marked if line[2] != "sil"]
    asked = words(" ".join(line[2] for line in marked))
    found = check(stage.run(asked, waveform), asked, waveform)
    off = [abs((word.start or 0) - int(line[0]) / 25000) for word, line in zip(found.words, marked, strict=True)]
    assert statistics.median(off) <= 0.05
    assert max(off) <= 0.10
    # At most half of what equal shares are off, although these are given where the sentence begins and ends.
    edges = np.linspace(int(marked[0][0]), int(marked[-1][1]), len(marked) + 1)
    guessed = [abs(edge - int(line[0])) / 25000 for edge, line in zip(edges[:-1], marked, strict=True)]
    assert statistics.median(off) <= statistics.median(guessed) / 2


def test_every_word_of_eight_sentences(stage: Pocketsphinx, sound: Sound, shared: Path) -> None:
    paths = sorted((shared / "media/speech").glob("grid_*.mpg"))
    assert len(paths) == 8
    for path in paths:
        letters = path.stem.removeprefix("grid_")
        asked = words(" ".join(names.get(letter, letter) for names, letter in zip(GRID, letters, strict=True)))
        waveform = sound(path)
        found = check(stage.run(asked, waveform), asked, waveform)
        assert all(word.timed for word in found.words)


def test_a_sample_clip(stage: Pocketsphinx, sound: Sound, samples: Path) -> None:
    tree = ast.parse((samples / "make.py").read_text())
    values = [n.value for n in tree.body if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == "WORDS"]
    assert values[0] is not None
    first, *rest = ast.literal_eval(values[0])["positive"]
    waveform = sound(samples / "positive.mp4")
    asked = words(" ".join([first, *rest]))
    found = check(stage.run(asked, waveform), asked, waveform)
    loud = np.flatnonzero(np.abs(waveform.samples) > 0.02)
    assert found.words[0].start == pytest.approx(loud[0] / 16000, abs=0.1)
    assert found.words[-1].end == pytest.approx(loud[-1] / 16000, abs=0.15)


def test_spelling_is_kept_and_unknown_words_are_interpolated(stage: Pocketsphinx, sound: Sound, shared: Path) -> None:
    waveform = sound(shared / "media/audio/jfk.flac")
    text = "And so, my fellow Americans: Frobnicqzt ask NOT what your country can do for you -- ask what you can do for"
    asked = words(text + " your country!")
    found = check(stage.run(asked, waveform), asked, waveform)
    assert [word.text for word in found.words if word.estimated] == ["Frobnicqzt", "--"]
    assert found.words[6].start == pytest.approx(3.3, abs=0.1)


def test_none_when_it_cannot_work(stage: Pocketsphinx, sound: Sound, samples: Path) -> None:
    waveform = sound(samples / "positive.mp4")
    silence = Waveform(np.zeros(32000, np.float32), 16000)
    tone = Waveform((0.5 * np.sin(np.arange(32000) * 0.17)).astype(np.float32), 16000)
    assert stage.run(words("hello there"), silence) is None
    assert stage.run(words("hello there"), tone) is None
    noise = Waveform(np.random.default_rng(0).normal(0, 0.2, 48000).astype(np.float32), 16000)
    for text in ("hello there", "place blue at f two now"):
        assert stage.run(words(text), noise) is None
    assert stage.run(words("hello there"), Waveform(np.zeros(0, np.float32), 16000)) is None
    assert stage.run(Transcript((), "en"), waveform) is None
    assert stage.run(Transcript((Word("hallo"), Word("there")), "de"), waveform) is None
    assert stage.run(words("xqzzt qqwrt hello"), waveform) is None
    far_too_many = words("the story was great and the music was beautiful " * 40)
    assert stage.run(far_too_many, waveform) is None


def test_without_speech_nothing_is_aligned(
    stage: Pocketsphinx, sound: Sound, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waveform = sound(samples / "positive.mp4")
    asked = words("what a wonderful day")
    assert stage.run(asked, Waveform(waveform.samples[: 2 * 16000], 16000)) is not None
    monkeypatch.setattr(stage._detector, "spans", lambda samples: [])
    assert stage.run(asked, Waveform(waveform.samples[: 2 * 16000], 16000)) is None


def test_a_surplus_word_at_the_end_is_noticed(stage: Pocketsphinx, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pocketsphinx 5.1.1 gives the words that it reached, as if there were no others."""
    monkeypatch.setattr(stage._detector, "spans", lambda samples: [(0.0, 1.0)])
    sound = Waveform(np.full(16000, 0.1, np.float32), 16000)
    monkeypatch.setattr(stage._decoder, "hear", lambda samples: [Heard("hello", 0.1, 0.4, 1.0)])
    assert stage.run(words("hello"), sound) is not None
    assert stage.run(words("hello there"), sound) is None
    assert stage.run(words("there"), sound) is None


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Hello,", "hello"),
        ("DON’T", "don't"),
        ("well-dressed", "well dressed"),
        ("'tis", "'tis"),
        ("(hello)", "hello"),
        ("café", "cafe"),
        ("giraffe's", "giraffe"),
        ("BBC", "b b c"),
        ("0", "zero"),
        ("21", "twenty one"),
        ("007", "zero zero seven"),
        ("1984", "nineteen eighty four"),
        ("1905", "nineteen oh five"),
        ("1900", "nineteen hundred"),
        ("2000", "two thousand"),
        ("1,234,000", "one million two hundred thirty four thousand"),
        ("3.50", "three point five zero"),
        ("$5", "five dollars"),
        ("50%", "fifty percent"),
        ("3rd", "third"),
        ("20th", "twentieth"),
        ("1990s", "nineteen nineties"),
        ("xqzzt", ""),
        ("hello-xqzzt", ""),
        ("--", ""),
        ("你好", ""),
        ("1234567890123", ""),
    ],
)
def test_how_words_are_said(written: str, said: str) -> None:
    known = {"hello", "don't", "well", "dressed", "cafe", "giraffe", "'tis", "b", "c"}
    assert pronounceable(written, known.__contains__) == said.split()


@pytest.mark.parametrize("known", [0.0, 1.5, float("nan")])
def test_an_impossible_share_is_refused(known: float) -> None:
    with pytest.raises(ConfigError, match="known"):
        Pocketsphinx(known=known)
