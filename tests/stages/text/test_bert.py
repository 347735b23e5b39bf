"""Hidden states against AutoModel called plainly on the whole text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msapipe.errors import ConfigError, WeightsError
from msapipe.stages.text.bert import Bert, _nearest, _windows
from msapipe.types import Transcript, Word

FAMILIES = ("bert", "roberta", "xlnet")
TEXT = "What a wonderful day"


def said(text: str) -> Transcript:
    return Transcript(tuple(Word(word, i * 0.5, i * 0.5 + 0.4) for i, word in enumerate(text.split())), "en")


def stage(folder: Path, **params: Any) -> Bert:
    made = Bert(checkpoint=str(folder), **params)
    made.load("cpu")
    return made


def plainly(folder: Path, text: str, **params: Any) -> tuple[list[str], Any]:
    """Tokens of the text, special ones included, and what the net puts out for them."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        out = AutoModel.from_pretrained(folder).eval()(**inputs, output_hidden_states=True, **params)
    return tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist()), out


SPECIAL = ("[CLS]", "[SEP]", "<s>", "</s>", "<sep>", "<cls>")


def begins_word(family: str, token: str, position: int) -> bool:
    if family == "bert":
        return not token.startswith("##")
    return token.startswith("Ġ" if family == "roberta" else "▁") or position == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_means_of_what_automodel_makes_of_the_whole_text(encoders: dict[str, Path], family: str) -> None:
    tokens, out = plainly(encoders[family], TEXT)
    rows = [(token, row) for token, row in zip(tokens, out.last_hidden_state[0].numpy(), strict=True)]
    rows = [(token, row) for token, row in rows if token not in SPECIAL]
    words: list[list[np.ndarray]] = []
    for position, (token, row) in enumerate(rows):
        if begins_word(family, token, position):
            words.append([])
        words[-1].append(row)
    features = stage(encoders[family]).run(said(TEXT))
    assert features.values.shape == (4, 16)
    assert len(rows) > 4
    assert np.allclose(features.values, [np.mean(word, axis=0) for word in words], atol=1e-5)
    assert features.times.tolist() == [[0, 0.4], [0.5, 0.9], [1, 1.4], [1.5, 1.9]]
    assert features.valid.all()
    assert features.names == tuple(f"bert_{i}" for i in range(16))
    pieces = stage(encoders[family], unit="piece").run(said(TEXT))
    assert np.allclose(pieces.values, [row for _, row in rows], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_reads_in_bfloat16(encoders: dict[str, Path], family: str) -> None:
    for layers in ("last", [0, 1]):
        plain, half = (stage(encoders[family], layers=layers, dtype=dtype) for dtype in ("float32", "bfloat16"))
        want, got = plain.run(said(TEXT)).values, half.run(said(TEXT)).values
        # The numbers of the tiny XLNet are 25 times those of a real one, and its attention that much sharper.
        most = 3e-2 if family == "xlnet" else 2e-2
        assert 1e-4 < np.linalg.norm(got - want) / np.linalg.norm(want) < most


def test_pieces_share_the_time_of_their_word(encoders: dict[str, Path]) -> None:
    features = stage(encoders["bert"], unit="piece").run(Transcript((Word("what", 1, 2), Word("wonderful", 3, 6))))
    assert np.allclose(features.times, [[1, 2], [3, 4], [4, 5], [5, 6]])


@pytest.mark.parametrize(("layers", "numbers"), [(0, [0]), (-2, [1]), ([1, 2], [1, 2])])
@pytest.mark.parametrize("family", FAMILIES)
def test_other_layers(encoders: dict[str, Path], family: str, layers: Any, numbers: list[int]) -> None:
    tokens, out = plainly(encoders[family], TEXT)
    want = np.mean([out.hidden_states[number][0].numpy() for number in numbers], axis=0)
    want = want[[token not in SPECIAL for token in tokens]]
    features = stage(encoders[family], unit="piece", layers=layers).run(said(TEXT))
    assert np.allclose(features.values, want, atol=1e-5)


def test_a_long_text_is_read_in_windows_with_context_on_both_sides(encoders: dict[str, Path]) -> None:
    letters = [chr(97 + i % 26) for i in range(61)]
    features = stage(encoders["bert"]).run(said(" ".join(letters)))
    size = 22  # of 24 tokens two are special
    plain = {
        start: plainly(encoders["bert"], " ".join(letters[start : start + size]))[1].last_hidden_state[0, 1:-1].numpy()
        for start in (0, 11, 22, 33, 39)
    }
    for piece, row in enumerate(features.values):
        least = {start: min(piece - start, start + size - 1 - piece) for start in plain}
        if piece < size // 2:
            least[0] = 1000  # before the first piece there is nothing that it could lack
        if piece >= 61 - size // 2:
            least[39] = 1000
        most = max(least.values())
        same = [start for start, context in least.items() if context == most]
        assert any(np.allclose(row, plain[start][piece - start], atol=1e-5) for start in same), piece
    assert features.notes == (
        "61 word pieces are more than the 24 tokens that the encoder takes at once: it read them in 5 overlapping "
        "windows",
    )


@pytest.mark.parametrize("count", [1, 5, 22, 23, 33, 44, 100, 601])
def test_windows_cover_every_piece(count: int) -> None:
    starts, size = _windows(count, 22)
    nearest = _nearest(count, starts, size)
    inside = np.arange(count) - starts[nearest]
    assert ((inside >= 0) & (inside < size)).all()
    at_an_edge = (inside < size // 4) | (inside >= size - size // 4)
    ends = (np.arange(count) < size) | (np.arange(count) >= count - size)
    assert not (at_an_edge & ~ends).any()


def test_roberta_has_two_positions_less_than_its_table(encoders: dict[str, Path]) -> None:
    roberta = stage(encoders["roberta"], unit="piece")
    fits, too_long = said("a" * 22), said("a" * 23)
    _, out = plainly(encoders["roberta"], fits.text)
    assert np.allclose(roberta.run(fits).values, out.last_hidden_state[0, 1:-1].numpy(), atol=1e-5)
    assert not roberta.run(fits).notes
    assert "2 overlapping windows" in roberta.run(too_long).notes[0]


def test_xlnet_reads_600_words_at_once(encoders: dict[str, Path]) -> None:
    text = " ".join(["won"] * 600)
    _, out = plainly(encoders["xlnet"], text)
    features = stage(encoders["xlnet"]).run(said(text))
    assert np.allclose(features.values, out.last_hidden_state[0, :-2].numpy(), atol=1e-5)
    assert not features.notes


def test_chinese_as_characters_or_as_one_word(encoders: dict[str, Path]) -> None:
    bert = stage(encoders["bert"])
    characters = bert.run(said("我 很 开 心"))
    sentence = bert.run(said("我很开心"))
    assert len(characters.values) == 4
    assert len(sentence.values) == 1
    assert np.allclose(sentence.values[0], characters.values.mean(0), atol=1e-6)


def test_what_looks_like_a_special_token_is_text(encoders: dict[str, Path]) -> None:
    features = stage(encoders["bert"], unit="piece").run(said("a [SEP] b"))
    assert len(features.values) == 1 + 5 + 1


def test_a_word_of_nothing_keeps_its_row(encoders: dict[str, Path]) -> None:
    bert = stage(encoders["bert"])
    odd = bert.run(Transcript((Word("what", 0, 1), Word("\x00\x07", 1, 2), Word("", 2, 3), Word("day", 3, 4))))
    assert odd.valid.tolist() == [True, False, False, True]
    assert np.array_equal(odd.values[[0, 3]], bert.run(said("what day")).values)


def test_unknown_pieces_are_counted(encoders: dict[str, Path]) -> None:
    features = stage(encoders["bert"]).run(said("what ж day"))
    assert features.valid.all()
    assert features.notes[0].startswith("1 of 3 word pieces are unknown to own:")


@pytest.mark.parametrize("words", [(), (Word(" ", 0, 1),)])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_words(encoders: dict[str, Path], family: str, words: tuple[Word, ...]) -> None:
    assert stage(encoders[family]).run(Transcript(words)).values.shape == (len(words), 16)
    assert stage(encoders[family], unit="piece").run(Transcript(words)).values.shape == (0, 16)


@pytest.mark.parametrize("params", [{"unit": "sentence"}, {"layers": []}, {"layers": "first"}])
def test_impossible_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(params))):
        Bert(**params)


def test_a_layer_that_is_not_there_is_refused(encoders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="has layers 0 to 2"):
        stage(encoders["bert"], layers=3)


def test_a_net_that_also_decodes_is_refused(tmp_path: Path) -> None:
    from transformers import T5Config

    T5Config().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="t5 is no encoder"):
        stage(tmp_path)


def test_parameters_come_from_a_pipeline(encoders: dict[str, Path], tmp_path: Path) -> None:
    from msapipe.pipeline.spec import build

    params = {"checkpoint": str(encoders["bert"]), "unit": "piece", "layers": [1, 2]}
    assert build(Bert, params, "text").layers == [1, 2]
    with pytest.raises(ConfigError):
        build(Bert, {**params, "layers": "first"}, "text")
