"""Whisper: its tokens against hand-made lists and against transformers' own generation, on a tiny checkpoint.

No trained weights of Whisper are here: that it understands speech is not tested, nor how far its times are off.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msapipe.errors import RecipeError, WeightsError
from msapipe.stages.transcript import _whisper_model as model_room
from msapipe.stages.transcript._whisper_model import Recogniser
from msapipe.stages.transcript._whisper_windows import LONGEST, Window, into_speech, windows
from msapipe.stages.transcript._whisper_words import Segment, without_loops, words_of
from msapipe.stages.transcript.whisper import Whisper
from msapipe.testing import fakes, tiny
from msapipe.types import Transcript, Waveform, Word

RATE = 16000

Sound = Callable[[Path], Waveform]


@pytest.fixture(scope="module")
def folder(tiny_weights: Path) -> Path:
    return Path(tiny.params("transcript", "whisper", tiny_weights)["checkpoint"])


@pytest.fixture(scope="module")
def stage(folder: Path) -> Whisper:
    return loaded(folder)


def loaded(folder: Path, **params: Any) -> Whisper:
    whisper = Whisper(str(folder), **params)
    whisper.load("cpu")
    return whisper


@pytest.fixture(scope="module")
def speech(sound: Sound, samples: Path) -> Waveform:
    return sound(samples / "positive.mp4")


def changed(folder: Path, target: Path, file: str = "generation_config.json", **values: Any) -> Path:
    """A copy of a checkpoint with other values in one of its files; None takes one out."""
    shutil.copytree(folder, target)
    path = target / file
    tree = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in tree.items() if value is not None}))
    return target


# --- tokens to words ---------------------------------------------------------------------------------------------


def said(pieces: list[bytes | str], spaced: bool = True, timed: bool = True) -> list[Word]:
    """Words of tokens that are these pieces: each 0.1 s long, the probability of the i-th is 1 / (i + 1)."""
    vocabulary = [piece if isinstance(piece, bytes) else piece.encode() for piece in pieces]
    count = len(pieces)
    segment = Segment(
        tuple(range(count)),
        tuple(1 / (i + 1) for i in range(count)),
        0.0,
        count / 10,
        tuple((i / 10, (i + 1) / 10) for i in range(count)) if timed else None,
    )
    return words_of(segment, lambda ids: b"".join(vocabulary[i] for i in ids).decode("utf-8", "replace"), spaced)


def test_tokens_to_words_with_times_and_confidence() -> None:
    words = said([" Hel", "lo", ",", " dear", " Ann", "'s", "."])
    assert [word.text for word in words] == ["Hello,", "dear", "Ann's."]
    assert [(word.start, word.end) for word in words] == [(0.0, 0.2), (0.3, 0.4), (0.4, 0.6)]
    assert [word.confidence for word in words] == [0.75, 0.25, round((1 / 5 + 1 / 6) / 2, 4)]
    assert all(word.timed for word in words)


@pytest.mark.parametrize(
    ("pieces", "texts"),
    [
        ([' "', "Yes", '"', ","], ['"Yes",']),
        ([" well", "-", "dressed", " -", " now"], ["well-dressed", "-now"]),
        ([" she", " ...", " said"], ["she...", "said"]),
        ([" a", " (", "b", ")", " ♪"], ["a", "(b)", "♪"]),
        ([" caf", b"\xc3", b"\xa9", " au"], ["café", "au"]),
        ([" ", "one", " ", " two"], ["one", "two"]),
        ([b"\xff", b"\x80", b"\x80", b"\x80", b"\x80", " so"], ["\ufffd" * 5, "so"]),
        ([" .", "."], [".."]),
        ([], []),
    ],
)
def test_what_is_one_word(pieces: list[bytes | str], texts: list[str]) -> None:
    assert [word.text for word in said(pieces)] == texts


def test_chinese_words_are_pieces_of_whole_characters() -> None:
    first, second = "很".encode()[:2], "很".encode()[2:]
    words = said(["今天", first, second, "好", "，", "「", "是", "」", "。"], spaced=False)
    assert [word.text for word in words] == ["今天", "很", "好，", "「是」。"]
    assert [(word.start, word.end) for word in words] == [(0.0, 0.1), (0.1, 0.3), (0.3, 0.4), (0.6, 0.7)]


def test_words_without_times_share_those_of_their_phrase() -> None:
    words = said([" one", " three", "."], timed=False)
    assert [(word.text, word.estimated) for word in words] == [("one", True), ("three.", True)]
    assert words[0].end == words[1].start == pytest.approx(0.3 * 3 / 8)
    assert words[1].end == pytest.approx(0.3)


def test_words_are_grouped_as_transformers_does(stage: Whisper) -> None:
    from transformers.models.whisper.tokenization_whisper import _combine_tokens_into_words

    tokenizer = stage._recogniser._tokenizer
    for text, language in (
        (" Hello, dear friends! It is (so) late.", "english"),
        ("今天天气很好，是吗？", "chinese"),
    ):
        tokens = tokenizer(text, add_special_tokens=False).input_ids
        want, _, _ = _combine_tokens_into_words(tokenizer, list(tokens), language)
        segment = Segment(tuple(tokens), (1.0,) * len(tokens), 0, 1, ((0.0, 1.0),) * len(tokens))
        got = words_of(segment, stage._recogniser.decode, language == "english")
        assert [word.text for word in got] == [word.strip() for word in want]


def words(text: str) -> list[Word]:
    return [Word(word, i / 10, (i + 1) / 10) for i, word in enumerate(text.split())]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("so " + "thanks for watching. " * 50, "so thanks for watching."),
        ("Thanks for watching! " * 6 + "thanks for", "Thanks for watching!"),
        ("la " * 12 + "done", "la done"),
        ("no " * 11 + "never", "no " * 11 + "never"),
        ("very good " * 4, "very good " * 4),
        ("one two three four five six " * 4, "one two three four five six " * 4),
        ("♪ " * 20, "♪"),
        ("", ""),
    ],
)
def test_loops_are_said_once(text: str, kept: str) -> None:
    found, dropped = without_loops(words(text))
    assert [word.text for word in found] == kept.split()
    assert dropped == len(text.split()) - len(kept.split())


# --- windows -----------------------------------------------------------------------------------------------------


def noise(seconds: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def test_windows_end_in_pauses() -> None:
    found, cuts = windows([(1.0, 5.0), (7.0, 9.0), (13.0, 20.0), (21.0, 39.0), (39.1, 41.0)], noise(41))
    assert cuts == 0
    assert [window.speech for window in found] == [
        ((1.0, 5.0), (7.0, 9.0)),  # then a pause of 4 s
        ((13.0, 20.0), (21.0, 39.0)),
        ((39.1, 41.0),),  # does not fit in
    ]
    edges = [edge for window in found for edge in (window.start, window.end)]
    assert edges == pytest.approx([0.8, 9.2, 12.8, 39.05, 39.05, 41.0])


def test_long_speech_is_cut_where_it_is_quiet() -> None:
    samples = noise(70)
    samples[int(20.4 * RATE) : int(20.6 * RATE)] *= 0.01
    found, cuts = windows([(0.5, 69.5)], samples)
    assert cuts == len(found) - 1 <= 3
    assert found[0].end == found[1].start == pytest.approx(20.5, abs=0.06)
    assert all(0 < window.end - window.start <= LONGEST for window in found)
    assert sum(window.spoken for window in found) == pytest.approx(69)
    assert sum(len(window.cut(samples)) for window in found) == pytest.approx(69.4 * RATE, abs=2)


def test_barely_too_long_speech_leaves_no_scrap() -> None:
    found, cuts = windows([(0.0, 27.7)], noise(27.7))
    assert cuts == 1
    assert min(window.spoken for window in found) >= 0.95


def test_words_are_cut_to_speech() -> None:
    window = Window(10.0, 20.0, ((10.5, 12.0), (15.0, 19.5)))
    times = [(0.0, 1.0), (1.0, 4.0), (4.0, 6.0), (6.0, 10.5)]
    placed = into_speech([Word("a", *span, 0.5) for span in times], window)
    assert [(word.start, word.end) for word in placed] == [(10.4, 11.0), (11.0, 12.1), (14.9, 16.0), (16.0, 19.6)]
    assert {word.confidence for word in placed} == {0.5}
    lone = into_speech([Word("a", 0.0, 0.1), Word("b", 3.0, 4.0), Word("c", 9.9, 10.0)], window)
    assert [(word.start, word.end) for word in lone] == [(10.4, 10.4), (13.0, 14.0), (19.6, 19.6)]


# --- the network -------------------------------------------------------------------------------------------------


def test_tokens_times_and_probabilities_are_those_of_transformers(stage: Whisper, speech: Waveform) -> None:
    import torch

    recogniser = stage._recogniser
    sound = speech.samples[: 2 * RATE]
    encoded = recogniser.encode(sound)
    language = recogniser.language(encoded)
    (segment,), finished = recogniser.hear(encoded, language)
    inputs = recogniser._extractor(sound, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True)
    out = recogniser._model.generate(  # it detects the language by itself
        **inputs,
        task="transcribe",
        return_timestamps=False,
        return_token_timestamps=True,
        return_dict_in_generate=True,
        output_scores=True,
        max_new_tokens=60,
    )
    whole = out["sequences"][0]
    assert recogniser._tokenizer.decode(whole[1]) == f"<|{language}|>"
    tokens = whole[4:]
    text = tokens < recogniser._model.generation_config.eos_token_id
    chosen = torch.stack([score[0] for score in out["scores"]]).softmax(-1).gather(1, tokens[:, None])[:, 0]
    assert len(segment.tokens) >= 20
    assert list(segment.tokens) == tokens[text].tolist()
    assert segment.probabilities == pytest.approx(chosen[text].tolist(), abs=1e-5)
    assert segment.times is not None
    assert [end for _, end in segment.times] == pytest.approx(out["token_timestamps"][0, 4:][text].tolist(), abs=1e-6)
    assert not finished


def test_segments_are_those_that_the_tokenizer_reads(stage: Whisper) -> None:
    tokenizer = stage._recogniser._tokenizer
    text = "<|0.00|> Hello<|1.20|><|1.60|> dear friends<|3.00|>"
    tokens = tokenizer(text, add_special_tokens=False).input_ids
    zero = tokenizer.convert_tokens_to_ids("<|0.00|>")
    found = model_room._between_times([(token - zero) * 0.02 for token in tokens], 4.0)
    got = [{"text": tokenizer.decode([tokens[i] for i in part]), "timestamp": span} for part, span in found]
    want = tokenizer.decode(tokens, output_offsets=True)["offsets"]
    assert [item["text"] for item in got] == [item["text"] for item in want] == [" Hello", " dear friends"]
    assert [item["timestamp"] for item in got] == [pytest.approx(item["timestamp"]) for item in want]


def test_a_phrase_without_an_end_lasts_as_long_as_the_window() -> None:
    assert model_room._between_times([0.5, -1, -1], 4.0) == [([1, 2], (0.5, 4.0))]
    assert model_room._between_times([-1, 9.0, 9.0, -1], 4.0) == [([0], (0.0, 4.0)), ([3], (4.0, 4.0))]
    assert model_room._between_times([], 4.0) == []


@pytest.mark.parametrize(("spoken", "timed"), [([], False), ([70], False), ([70, 71], True)])
def test_few_tokens(stage: Whisper, spoken: list[int], timed: bool) -> None:
    """A single row of attention cannot be normalised: the time of a lone token is estimated."""
    import torch

    recogniser = stage._recogniser
    tokens = [0, 0, 0, 0, *spoken, recogniser._model.generation_config.eos_token_id]
    scores = [torch.zeros(len(recogniser._tokenizer)) for _ in (*spoken, "end")]
    times = torch.tensor([0.0, 0, 0, 0, *(0.3 * (i + 1) for i in range(len(spoken) + 1))])
    segments, finished = recogniser._segments(
        {"sequences": torch.tensor(tokens), "scores": scores, "token_timestamps": times}, 1.0
    )
    assert finished
    assert [token for segment in segments for token in segment.tokens] == spoken
    assert [segment.times is not None for segment in segments if segment.tokens] == [timed] * bool(spoken)
    if timed:
        assert segments[0].times == (pytest.approx((0.0, 0.3)), pytest.approx((0.3, 0.6)))


# --- the stage ---------------------------------------------------------------------------------------------------


def check(found: Transcript | None, waveform: Waveform) -> Transcript:
    assert found is not None
    assert found.words
    last = 0.0
    for word in found.words:
        assert word.text.strip() == word.text != ""
        assert word.start is not None
        assert word.end is not None
        assert last <= word.start + 1e-9 <= word.end + 1e-9 <= waveform.seconds + 1e-6
        assert word.confidence is not None
        assert 0 <= word.confidence <= 1
        last = word.end
    return found


def test_a_clip(stage: Whisper, speech: Waveform) -> None:
    found = check(stage.run(speech), speech)
    assert found.source == "whisper"
    assert found.language in stage._recogniser._codes.values()
    assert all(word.timed for word in found.words)
    assert any("came to no end" in note for note in found.notes)


def test_nothing_is_remembered(stage: Whisper, folder: Path, speech: Waveform, sound: Sound, samples: Path) -> None:
    first = stage.run(speech)
    other = stage.run(sound(samples / "two_faces.mp4"))
    assert stage.run(speech) == first == loaded(folder).run(speech)
    assert other != first


@pytest.mark.parametrize("kind", ["silence", "tone", "noise"])
def test_none_without_speech(stage: Whisper, kind: Any) -> None:
    assert stage.run(fakes.waveform(3.0, kind)) is None


@pytest.mark.parametrize("count", [0, 1, 800])
def test_none_of_hardly_any_sound(stage: Whisper, speech: Waveform, count: int) -> None:
    assert stage.run(Waveform(speech.samples[RATE : RATE + count], RATE)) is None


def test_another_rate(stage: Whisper, speech: Waveform) -> None:
    slow = Waveform(speech.samples[::2].copy(), RATE // 2)
    check(stage.run(slow), slow)


def test_long_sound_is_heard_to_its_end(stage: Whisper, speech: Waveform) -> None:
    long = Waveform(np.tile(np.pad(speech.samples, (0, RATE)), 8), RATE)
    found = check(stage.run(long), long)
    middles = np.array([((word.start or 0) + (word.end or 0)) / 2 for word in found.words])
    assert all(np.any((middles >= at) & (middles < at + 12)) for at in range(0, 40, 12))
    assert any("windows of at most 28 s" in note for note in found.notes)


def test_windows_loops_and_silence_reach_the_result(
    stage: Whisper, speech: Waveform, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = stage._recogniser._tokenizer(" a" * 20 + " b", add_special_tokens=False).input_ids
    times = tuple((0.1 + i / 20, 0.15 + i / 20) for i in range(len(letters)))
    heard = [Segment(tuple(letters), (0.5,) * len(letters), 0.0, 4.0, times)], True
    monkeypatch.setattr(stage._detector, "spans", lambda samples, speech: [(0.5, 4.5)])
    monkeypatch.setattr(stage._recogniser, "hear", lambda sound, language: heard)
    found = stage.run(speech)
    assert found is not None
    assert [(word.text, word.start, word.end) for word in found.words] == [("a", 0.4, 0.45), ("b", 1.4, 1.45)]
    where = "whisper: from 0.3 to 4.7 s: "
    assert found.notes == (f"{where}19 words of a loop were left out", f"{where}the last 3.0 s of speech gave no words")
    monkeypatch.setattr(stage._recogniser, "hear", lambda sound, language: ([], True))
    nothing = stage.run(speech)
    assert nothing is not None
    assert nothing.words == ()
    assert nothing.notes == (f"{where}the last 4.0 s of speech gave no words",)


def test_each_window_is_heard_by_itself(stage: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Waveform(noise(5).clip(-1, 1), RATE)
    encoded: list[tuple[int, int]] = []

    def encode(samples: np.ndarray[Any, np.dtype[np.float32]]) -> int:
        encoded.append((int(np.flatnonzero(sound.samples == samples[0])[0]), len(samples)))
        return encoded[-1][0]

    token = stage._recogniser._tokenizer(" a", add_special_tokens=False).input_ids[0]
    monkeypatch.setattr(stage._detector, "spans", lambda samples, speech: [(0.2, 0.6), (3.7, 4.9)])
    monkeypatch.setattr(stage._recogniser, "encode", encode)
    monkeypatch.setattr(stage._recogniser, "language", lambda start: "fr" if start else "en")
    monkeypatch.setattr(
        stage._recogniser,
        "hear",
        lambda start, language: ([Segment((token,), (1.0,), 0, 1, ((0.2, 0.6 if start else 0.5),))], True),
    )
    found = stage.run(sound)
    assert found is not None
    assert encoded == [(int(3.5 * RATE), int(1.5 * RATE)), (0, int(0.8 * RATE))]
    assert found.language == "fr", "the window with most speech tells"
    assert [(word.start, word.end) for word in found.words] == [(0.2, 0.5), (3.7, 4.1)]


def test_a_language_can_be_forced(folder: Path, stage: Whisper, speech: Waveform) -> None:
    found = loaded(folder, language="zh").run(speech)
    assert found is not None
    assert found.language == "zh"
    assert all(len(word.text) <= 2 for word in found.words), "every piece is a word"
    assert found.words != (stage.run(speech) or found).words


def test_without_alignment_heads_times_are_estimated(folder: Path, speech: Waveform, tmp_path: Path) -> None:
    found = check(loaded(changed(folder, tmp_path / "own", alignment_heads=None)).run(speech), speech)
    assert all(word.estimated for word in found.words)
    assert "whisper: the checkpoint names no alignment heads: times of words are estimated" in found.notes


def test_settings_that_old_checkpoints_carry_change_nothing(
    folder: Path, stage: Whisper, speech: Waveform, tmp_path: Path
) -> None:
    """openai's files also hold what transformers has since moved or given up."""
    settings = json.loads((folder / "generation_config.json").read_text())
    forced = [[1, None], [2, settings["task_to_id"]["transcribe"]]]
    own = changed(folder, tmp_path / "first", forced_decoder_ids=forced, no_speech_threshold=0.0, logprob_threshold=0.0)
    suppressed = {name: settings[name] for name in ("suppress_tokens", "begin_suppress_tokens")}
    own = changed(own, tmp_path / "own", "config.json", max_length=448, forced_decoder_ids=forced, **suppressed)
    assert loaded(own).run(speech) == stage.run(speech)


def test_an_english_checkpoint(folder: Path, speech: Waveform, tmp_path: Path) -> None:
    own = changed(folder, tmp_path / "own", is_multilingual=False, lang_to_id=None, task_to_id=None)
    assert check(loaded(own).run(speech), speech).language == "en"
    assert check(loaded(own, language="en").run(speech), speech).language == "en"
    with pytest.raises(RecipeError, match="knows en"):
        loaded(own, language="de")


@pytest.mark.parametrize(
    ("file", "values", "found"),
    [
        ("generation_config.json", {"lang_to_id": None}, "lacks lang_to_id"),
        ("generation_config.json", {"no_timestamps_token_id": None}, "lacks no_timestamps_token_id"),
        ("generation_config.json", {"alignment_heads": [[5, 0]]}, r"alignment head \(5, 0\)"),
        ("config.json", {"model_type": "bert"}, "holds a bert"),
        ("config.json", {"d_model": 32}, "another architecture|cannot be read"),
        ("config.json", {"encoder_layers": 2}, "another architecture"),
    ],
)
def test_a_checkpoint_of_another_kind(
    folder: Path, tmp_path: Path, file: str, values: dict[str, Any], found: str
) -> None:
    with pytest.raises(WeightsError, match=found):
        Recogniser(changed(folder, tmp_path / "own", file, **values), "cpu")


def test_a_checkpoint_without_preprocessing(folder: Path, tmp_path: Path) -> None:
    own = changed(folder, tmp_path / "own")
    (own / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match="preprocessor_config"):
        Recogniser(own, "cpu")


@pytest.mark.parametrize("wrong", [{"language": "English"}, {"language": "e"}, {"speech": 0.0}, {"speech": 1.0}])
def test_impossible_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=next(iter(wrong))):
        Whisper(**wrong)


def test_an_unknown_language_is_refused_when_the_checkpoint_is_known(folder: Path) -> None:
    with pytest.raises(RecipeError, match="'qq'"):
        loaded(folder, language="qq")


def test_the_catalogue() -> None:
    known = {weights.name: weights for weights in Whisper.weights}
    assert Whisper().own_weights()[0] is known["openai/whisper-small"]
    assert {weights.licence for weights in known.values()} == {"Apache-2.0", "MIT"}
    assert all(weights.commercial for weights in known.values())
    assert all(len(weights.identity.partition("@")[2]) == 40 for weights in known.values())


@pytest.mark.gpu
def test_a_gpu_hears_the_same(folder: Path, stage: Whisper, speech: Waveform) -> None:
    there = Whisper(str(folder))
    there.load("cuda:0")
    found, want = there.run(speech), stage.run(speech)
    assert found is not None
    assert want is not None
    assert found.text == want.text
