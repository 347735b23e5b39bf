"""CTC alignment against torchaudio, and words against times at which letters were planted."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from msapipe.errors import ConfigError, WeightsError
from msapipe.stages.words import _viterbi, ctc
from msapipe.stages.words._viterbi import forced_path
from msapipe.stages.words.ctc import Ctc
from msapipe.testing import fakes, tiny
from msapipe.testing.tiny.words_ctc import VOCABULARY
from msapipe.types import Transcript, Waveform, Word

RATE = 16000
CHINESE = ("<pad>", "|", *"今天气很好", "<s>", "</s>")


@pytest.fixture(scope="module")
def checkpoint(tiny_weights: Path) -> Path:
    return Path(tiny.params("words", "ctc", tiny_weights)["checkpoint"])


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return shutil.copytree(checkpoint, tmp_path / "copy")


@pytest.fixture
def heard() -> Waveform:
    """Three seconds; who uses it says what is heard in it."""
    return Waveform(np.full(3 * RATE, 0.1, np.float32), RATE)


Made = Callable[..., Ctc]


@pytest.fixture
def made(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A loaded stage that takes everything for speech and, where they are given, hears letters: {frame: letter}."""

    def make(letters: dict[int, str] | None = None, folder: Path = checkpoint, **params: Any) -> Ctc:
        stage = Ctc(checkpoint=str(folder), **params)
        stage.load("cpu")
        monkeypatch.setattr(stage._detector, "spans", lambda samples: [(0.0, len(samples) / RATE)])
        if letters is not None:
            symbols = json.loads((folder / "vocab.json").read_text())
            rows = planted(letters, symbols, frames=149)
            monkeypatch.setattr(stage, "_hear", lambda sound, columns: rows[:, columns])
        return stage

    return make


def planted(letters: dict[int, str], symbols: dict[str, int], frames: int) -> torch.Tensor:
    """Each letter has 80 % in its frame, the blank 95 % in all others; all else share the rest."""
    rows = torch.empty(frames, len(symbols))
    for frame in range(frames):
        sure = 0.8 if frame in letters else 0.95
        rows[frame] = (1 - sure) / (len(symbols) - 1)
        rows[frame, symbols[letters.get(frame, "<pad>")]] = sure
    return rows.log()


def words(text: str, language: str | None = None) -> Transcript:
    return Transcript(tuple(Word(word) for word in text.split()), language, "given", ("a note",))


def both(log_probs: torch.Tensor, target: NDArray[np.int64], blank: int) -> None:
    """Our path, by label and score of every frame, is torchaudio's."""
    functional = pytest.importorskip("torchaudio").functional
    path = forced_path(log_probs.numpy(), target, blank)
    assert path is not None
    labels, scores = functional.forced_align(log_probs[None], torch.from_numpy(target)[None], blank=blank)
    spelled = np.full(2 * len(target) + 1, blank)
    spelled[1::2] = target
    assert np.array_equal(spelled[path.states], labels[0].numpy())
    assert np.array_equal(path.scores, scores[0].numpy())


@settings(max_examples=150, deadline=None)
@given(
    frames=st.integers(1, 70),
    symbols=st.integers(2, 5),  # few symbols: letters are often repeated
    length=st.integers(1, 25),
    seed=st.integers(0, 10**6),
    steps=st.sampled_from([0, 1 << 25]),
)
def test_paths_are_torchaudios(frames: int, symbols: int, length: int, seed: int, steps: int) -> None:
    random = np.random.default_rng(seed)
    blank = int(random.integers(symbols))
    log_probs = torch.from_numpy(random.normal(0, 2, (frames, symbols))).log_softmax(-1)
    target = random.choice([symbol for symbol in range(symbols) if symbol != blank], length)
    needed = length + int((target[1:] == target[:-1]).sum())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_viterbi, "_STEPS", steps)
        if frames < needed:
            assert forced_path(log_probs.numpy(), target, blank) is None
        else:
            both(log_probs, target, blank)


def test_a_long_path_is_torchaudios(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    log_probs = torch.from_numpy(random.normal(0, 3, (3000, 32)).astype(np.float32)).log_softmax(-1).double()
    target = np.repeat(random.integers(1, 32, 450), random.integers(1, 3, 450))
    for steps in (0, 1 << 18):
        monkeypatch.setattr(_viterbi, "_STEPS", steps)
        both(log_probs, target, 0)


def test_no_letters_have_no_path() -> None:
    assert forced_path(np.zeros((5, 3)), np.zeros(0, np.int64)) is None
    assert forced_path(np.zeros((0, 3)), np.array([1])) is None


def test_words_lie_where_their_letters_are(made: Made, heard: Waveform) -> None:
    letters = {10: "H", 11: "H", 14: "E", 15: "L", 17: "L", 18: "O", 19: "|", 30: "I", 31: "T", 33: "'", 36: "S"}
    found = made(letters).run(words("Hello, it’s"), heard)
    assert found is not None
    assert [(word.text, word.start, word.end) for word in found.words] == [
        ("Hello,", pytest.approx(0.20), pytest.approx(0.38)),
        ("it’s", pytest.approx(0.60), pytest.approx(0.74)),
    ]
    assert [word.confidence for word in found.words] == [pytest.approx(0.8), pytest.approx(0.8)]
    assert all(word.timed for word in found.words)
    assert found.notes == ("a note",)
    assert found.source == "given"


def test_what_has_no_letters_gets_the_gap_and_is_named(made: Made, heard: Waveform) -> None:
    letters = {10: "G", 12: "O", 13: "|", 50: "C", 51: "A", 52: "F", 53: "E"}
    found = made(letters).run(words("Go ! 1984 你好 Café ."), heard)
    assert found is not None
    assert [word.estimated for word in found.words] == [False, True, True, True, False, True]
    assert [word.confidence for word in found.words] == [
        pytest.approx(0.8),
        0.0,
        0.0,
        0.0,
        pytest.approx(0.8),
        0.0,
    ]
    assert found.words[2].start == pytest.approx(0.26)
    assert found.words[3].end == pytest.approx(1.0)
    assert found.notes == ("a note", "no sound was found for: 1984, 你好")


def test_words_that_are_not_heard_are_named(made: Made, heard: Waveform) -> None:
    letters = {10: "G", 12: "O", 13: "|", 50: "O", 51: "N"}
    found = made(letters).run(words("go far on"), heard)
    assert found is not None
    assert found.words[1].confidence == pytest.approx(0.05 / 31)
    assert found.notes == ("a note", "found with a confidence below 0.1: far")
    strict = made(letters, floor=1.0).run(words("go " * 12), heard)
    assert strict is not None
    assert strict.notes[1] == "found with a confidence below 1: go, go, go, go, go, go, go, go, go, go and 2 more"


def test_chinese_characters_are_letters(made: Made, heard: Waveform, copy: Path) -> None:
    """The folder is as that of the published checkpoint, which has no tokenizer_config.json."""
    (copy / "tokenizer_config.json").unlink()
    vocabulary = {text: i for i, text in enumerate(CHINESE)}
    (copy / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    (copy / "special_tokens_map.json").write_text(json.dumps(special), encoding="utf-8")
    stage = made({20: "今", 22: "天", 24: "天", 26: "气", 40: "很", 45: "好"}, folder=copy)
    found = stage.run(words("今天 天气 ， 很好！ ok", "zh-CN"), heard)
    assert found is not None
    assert [(word.start, word.end) for word in found.words[:2]] == [
        (pytest.approx(0.40), pytest.approx(0.46)),
        (pytest.approx(0.48), pytest.approx(0.54)),
    ]
    assert (found.words[3].start, found.words[3].end) == (pytest.approx(0.80), pytest.approx(0.92))
    assert found.notes[1:] == ("no sound was found for: ok",)
    letters, _ = stage._letters.text(["今天", "很好"])
    assert letters == [2, 3, 5, 6]  # no delimiter


def test_the_delimiter_stands_between_words(made: Made) -> None:
    letters, places = made()._letters.text(["A", "--", "don't", "stop"])
    assert "".join(VOCABULARY[number] for number in letters) == "A|DON'T|STOP"
    assert [(place.start, place.stop) for place in places] == [(0, 1), (1, 1), (2, 7), (8, 12)]


def test_longer_sound_is_heard_in_windows(made: Made) -> None:
    whole = fakes.waveform(12.0)
    columns = np.arange(len(VOCABULARY))
    parts = made(chunk_seconds=5.0, overlap_seconds=1.25)
    once = made()
    rows = [
        torch.cat([rows for _, rows in s._net.pieces(whole.samples, lambda x, s=s: s._hear(x, columns))])
        for s in (parts, once)
    ]
    assert parts._net.windows(len(whole.samples)) == 4
    assert rows[0].shape == rows[1].shape == (599, 32)
    assert torch.allclose(rows[1].exp().sum(1), torch.ones(599), atol=1e-5)
    assert (rows[0] - rows[1]).abs().max() < 0.05


def test_a_sample_clip_gives_the_same_bits_twice(
    checkpoint: Path, sound: Callable[[Path], Waveform], samples: Path
) -> None:
    tree = ast.parse((samples / "make.py").read_text())
    values = [n.value for n in tree.body if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == "WORDS"]
    assert values[0] is not None
    asked = words(" ".join(ast.literal_eval(values[0])["positive"]))
    waveform = sound(samples / "positive.mp4")
    stage = Ctc(checkpoint=str(checkpoint), chunk_seconds=2.0, overlap_seconds=0.5)
    stage.load("cpu")
    found = stage.run(asked, waveform)
    assert found is not None
    assert [word.text for word in found.words] == [word.text for word in asked.words]
    edges = [edge for word in found.words for edge in (word.start or 0.0, word.end or 0.0)]
    assert edges == sorted(edges)
    assert edges[-1] <= waveform.seconds
    assert all(0 <= (word.confidence or 0.0) <= 1 for word in found.words)
    again = Ctc(checkpoint=str(checkpoint), chunk_seconds=2.0, overlap_seconds=0.5)
    again.load("cpu")
    again.run(words("hello"), waveform)
    assert again.run(asked, waveform) == found


def test_none_when_it_cannot_work(
    checkpoint: Path, made: Made, heard: Waveform, monkeypatch: pytest.MonkeyPatch
) -> None:
    english = made()
    assert english.run(Transcript(), heard) is None
    assert english.run(words("hello there"), heard) is not None
    assert english.run(words("你好 世界 hello"), heard) is None
    assert english.run(words("... 12"), heard) is None
    assert english.run(words("hello"), Waveform(np.full(800, 0.1, np.float32), RATE)) is None  # 2 rows, 5 letters
    assert english.run(words("so"), Waveform(np.full(800, 0.1, np.float32), RATE)) is not None
    assert english.run(words("hallo", "de"), heard) is not None
    assert made(language="en").run(words("hallo", "de"), heard) is None
    monkeypatch.setitem(ctc._LANGUAGES, english.own_weights()[0].name, "en")
    assert made().run(words("hallo", "de"), heard) is None
    assert made(language="de").run(words("hallo", "de"), heard) is not None
    assert made(language="en").run(words("hello", "en-GB"), heard) is not None
    deaf = Ctc(checkpoint=str(checkpoint))
    deaf.load("cpu")
    for waveform in (fakes.waveform(2.0), fakes.waveform(0.05), fakes.waveform(2.0, "silence"), fakes.waveform(0.0)):
        assert deaf.run(words("hello there"), waveform) is None


def test_what_a_checkpoint_must_be(copy: Path, tiny_weights: Path) -> None:
    def load(folder: Path) -> None:
        Ctc(checkpoint=str(folder)).load("cpu")

    with pytest.raises(WeightsError, match=r"lm_head"):
        load(Path(tiny.params("audio", "wav2vec2", tiny_weights)["checkpoint"]))
    vocabulary = copy / "vocab.json"
    vocabulary.write_text(json.dumps({text: i + 3 for i, text in enumerate(VOCABULARY)}))
    with pytest.raises(WeightsError, match="counts to 34, but the network has 32 outputs"):
        load(copy)
    vocabulary.write_text("{}")
    with pytest.raises(WeightsError, match="holds no letters"):
        load(copy)


def test_languages_of_the_catalogue() -> None:
    names = [weights.name for weights in Ctc.weights]
    assert [weights.name for weights in Ctc().own_weights()] == [names[0], names[2]]
    assert [weights.name for weights in Ctc(checkpoint=names[1]).own_weights()] == names[1:]


@pytest.mark.parametrize("bad", [{"known": 0.0}, {"floor": 2.0}, {"chunk_seconds": 0.1}, {"overlap_seconds": 9.0}])
def test_impossible_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Ctc(**bad)
