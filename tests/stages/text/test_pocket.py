"""The text model: what it makes of words, against its parts computed here another way, and what must not matter."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msapipe.errors import WeightsError
from msapipe.stages.text._pocket_lexicon import STATISTICS, flags, negated, read_valences, statistics
from msapipe.stages.text._pocket_linear import BUCKETS, LinearModel, letter_buckets, word_buckets
from msapipe.stages.text._pocket_model import PocketModel, dequantised, quantised
from msapipe.stages.text._pocket_net import forward, network
from msapipe.stages.text._pocket_words import latin_share, passages, tokens
from msapipe.stages.text.pocket import HEARD, NAMES, Pocket
from msapipe.types import FeatureSequence, Transcript, Word

SAID = {
    "positive": "What a wonderful day. I am so happy, and I love this movie.",
    "negative": "It was a disaster. The music was awful, and I'm really disappointed.",
}


@pytest.fixture(scope="module")
def pocket() -> Pocket:
    stage = Pocket()
    stage.load("cpu")
    return stage


@pytest.fixture(scope="module")
def model() -> PocketModel:
    return PocketModel.read(*(weights.path() for weights in Pocket.weights))


@pytest.fixture(scope="module")
def valences() -> dict[str, float]:
    return read_valences(Pocket.weights[1].path())


def said(text: str, language: str | None = "en") -> Transcript:
    return Transcript(tuple(Word(word, i * 0.4, i * 0.4 + 0.3) for i, word in enumerate(text.split())), language)


def score(features: FeatureSequence) -> float:
    """The one score of a short text."""
    (only,) = set(features.values[:, 0].tolist())
    return float(only)


def test_sample_sentences_are_told_apart(pocket: Pocket) -> None:
    assert score(pocket.run(said(SAID["positive"]))) > 1.2
    assert score(pocket.run(said(SAID["negative"]))) < -1.2


def test_negation_turns_the_score(pocket: Pocket) -> None:
    assert score(pocket.run(said("the movie was good"))) > 0.5
    assert score(pocket.run(said("the movie was not good"))) < -0.5
    assert score(pocket.run(said("I dont like this movie"))) < -1.5
    assert score(pocket.run(said("I like this movie"))) > 1.0


# None of these is among the templates that it was trained on (models/pocket_text/everyday.py).
@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("I quite like this album", 0.8, 3),
        ("My wife and I like the dress.", 0.8, 3),
        ("We both like that laptop", 0.8, 3),
        ("I like her voice", 0.8, 3),
        ("I can't wait to try it!", 0.3, 3),
        ("That wasn't bad", 0, 3),
        ("It's not a bad idea.", 0, 3),
        ("No complaints here", 0, 3),
        ("They don't like us", -3, -0.8),
        ("I feel like I wasted my money", -3, -0.8),
        ("I can't recommend it", -3, -0.8),
        ("It sounds like a concert", -0.6, 0.6),
        ("I was like, okay", -0.6, 0.6),
        ("I'd like to return the dress", -0.6, 0.6),
    ],
)
def test_everyday_sentences(text: str, low: float, high: float, pocket: Pocket) -> None:
    assert low < score(pocket.run(said(text))) < high


@pytest.mark.parametrize("text", [*SAID.values(), "I don't think it's bad — can't say I won't watch it!"])
def test_case_and_punctuation_do_not_matter(pocket: Pocket, text: str) -> None:
    bare = "".join(char for char in text if char.isalnum() or char == " ")
    spaced = text.replace("'", " ")
    want = score(pocket.run(said(text)))
    for same in (text.upper(), text.lower(), bare, bare.upper(), text.replace("'", "’"), spaced):
        assert score(pocket.run(said(same))) == want


def test_one_caption_scores_as_its_words(pocket: Pocket) -> None:
    text = SAID["negative"]
    caption = pocket.run(Transcript((Word(text, 0, 2),), "en"))
    assert caption.values.tolist() == [[score(pocket.run(said(text))), 1, np.log1p(np.float32(12))]]


def test_columns(pocket: Pocket) -> None:
    features = pocket.run(said("a good xyzzyplugh —"))
    assert features.names == NAMES == ("score", "known", "length")
    assert features.valid.all()
    assert features.values[:, 1].tolist() == [1, 1, 0, 0]
    assert features.values[:, 2] == pytest.approx(np.log(5))
    assert features.times.tolist() == pytest.approx(np.array([[i * 0.4, i * 0.4 + 0.3] for i in range(4)]))


def test_long_texts_are_read_in_passages(pocket: Pocket) -> None:
    praise, blame = SAID["positive"] + " ", SAID["negative"] + " "
    features = pocket.run(said(praise * 4 + blame * 5))
    values = features.values[:, 0]
    assert values[0] == values[51] > 1.2
    assert values[-1] < -1.2
    counts = np.unique(np.round(np.expm1(features.values[:, 2])))
    assert counts.max() <= 60
    assert len(features.values) == 4 * 13 + 5 * 12


def test_passages() -> None:
    def lengths(*words: Word) -> list[int]:
        found = passages(words)
        assert [first for first, _ in found] == [0, *[last for _, last in found[:-1]]][: len(found)]
        return [last - first for first, last in found]

    word, end = Word("word"), Word("end.")
    assert lengths() == []
    assert lengths(*[word] * 60) == [60]
    assert lengths(*[word] * 150) == [50, 50, 50]
    assert lengths(*[*[word] * 39, end] * 2) == [40, 40]
    assert lengths(*[*[word] * 19, end] * 4) == [60, 20]
    assert lengths(*[Word("many words " * 50)] * 3) == [1, 1, 1]
    paused = [Word("word", i + (5.0 if i >= 30 else 0), i + 0.9 + (5.0 if i >= 30 else 0)) for i in range(70)]
    assert lengths(*paused) == [30, 40]


def test_what_cannot_be_read(pocket: Pocket) -> None:
    for transcript, note in (
        (said("das ist gut", "de"), "'de'"),
        (said("这 部 电影 很 好", None), "not Latin"),
        (said("... — !!"), "no letters or digits"),
    ):
        features = pocket.run(transcript)
        assert features.values.shape == (len(transcript.words), 3)
        assert not features.valid.any()
        assert len(features.notes) == 1
        assert note in features.notes[0]
    assert pocket.run(said("das ist gut", "en-GB")).valid.all()


def test_a_passage_without_words_is_invalid_by_itself(pocket: Pocket) -> None:
    features = pocket.run(Transcript((Word("good."), Word("... " * 60), Word("bad " * 60)), "en"))
    assert features.valid.tolist() == [True, False, True]
    assert features.values[0, 0] > 0 > features.values[2, 0]


def test_mostly_unknown_words_are_noted(pocket: Pocket) -> None:
    features = pocket.run(said("wir gehen heute nach Hause und essen Kuchen", None))
    assert features.valid.all()
    assert "knows only" in features.notes[0]
    assert not pocket.run(said(SAID["positive"])).notes


def test_no_words(pocket: Pocket) -> None:
    features = pocket.run(Transcript())
    assert features.values.shape == (0, 3)
    assert not features.notes


def test_tokens() -> None:
    assert tokens("I DON'T, can’t & won't — it's 3.5 Café!") == (
        ["i", "do", "not", "can", "not", "will", "not", "its", "3", "5", "cafe"]
    )
    assert tokens("don t I m it s we ll") == tokens("dont im its well") == ["do", "not", "im", "its", "well"]
    assert tokens("это 好") == []
    assert latin_share("это abc é") == pytest.approx(4 / 7)


@pytest.mark.parametrize(
    "text",
    [
        "I like cats",
        "I really do like it",
        "We don't like the film",
        "you will like it",
        "Really like this one",
        "what I like",
    ],
)
def test_the_verb_like_is_told_apart(text: str) -> None:
    assert "liked" in tokens(text)
    assert tokens(text.upper()) == tokens(text)


@pytest.mark.parametrize(
    "text",
    [
        "it's like a dream",
        "I was like what",
        "he looks like me",
        "I like, I went home",
        "like I said",
        "if you like that",
        "I would like to go",
        "not like him",
        "like",
    ],
)
def test_other_likes_stay(text: str, valences: dict[str, float]) -> None:
    assert "like" in tokens(text)
    assert "liked" not in tokens(text)
    assert "like" not in valences
    assert valences["liked"] > 0


def test_lexicon_statistics(valences: dict[str, float]) -> None:
    assert valences["good"] == 1.9
    words = tokens("The food was very good but the staff was not good")
    found = dict(zip(STATISTICS, statistics(words, valences).tolist(), strict=True))
    first, second = 1.9 + 0.293, 1.9 * -0.74
    assert found["most"] == pytest.approx(first)
    assert found["last"] == found["least"] == pytest.approx(second)
    assert found["after_but"] == pytest.approx(second)
    assert found["before_but"] == pytest.approx(first)
    total = first + second
    assert found["compound"] == pytest.approx(total / np.sqrt(total**2 + 15))
    assert (found["negators"], found["boosters"], found["positive"], found["negative"]) == (1, 1, 1, 1)
    assert found["log_length"] == pytest.approx(np.log1p(len(words)))
    assert flags(["good", "not", "very", "slightly"], valences).tolist() == pytest.approx(
        np.array([[1.9 / 4, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]])
    )
    assert negated(["not", "a", "b", "c", "d"]) == [False, True, True, True, False]
    assert negated(["not", "a", "but", "b"]) == [False, True, True, False]


def test_linear_score_is_a_sum_over_n_grams() -> None:
    from zlib import crc32

    random = np.random.default_rng(0)
    model = LinearModel(
        random.normal(size=BUCKETS).astype(np.float32),
        random.normal(size=BUCKETS).astype(np.float32),
        np.array([9, 0.5, 1.5], np.float32),
        np.ones(2, np.float32),
        0.25,
    )
    grams = ["not", "ok", "me", "not ok", "ok me", "not ok me", "not_ok", "not_me"]
    letters = [" no", "not", "ot ", " not", "not ", " not ", " ok", "ok ", " ok ", " me", "me ", " me "]
    by_hand = 0.25 + 3 + 1
    for table, parts in ((model.words, grams), (model.letters, letters)):
        by_hand += sum(float(table[crc32(part.encode()) % BUCKETS]) for part in parts) / np.sqrt(len(parts))
    words = ["not", "ok", "me"]
    assert len(word_buckets(words)) == len(grams)
    assert len(letter_buckets(words)) == len(letters)
    got = model.score(words, np.array([0, 1, 2]), np.array([1, 2], np.float32))
    assert got == pytest.approx(by_hand, rel=1e-5)


def test_padding_and_neighbours_do_not_change_the_network() -> None:
    import torch

    torch.manual_seed(0)
    net = network(20, 2).eval()
    torch.nn.init.normal_(net["embedding"].weight)
    ids, lexicon = torch.randint(1, 20, (3, 9)), torch.rand(3, 9, 3)
    lengths = torch.tensor([9, 1, 4])
    with torch.inference_mode():
        together = forward(net, ids, lexicon, lengths)
        for row, length in enumerate(lengths.tolist()):
            alone = forward(net, ids[row : row + 1, :length], lexicon[row : row + 1, :length], lengths[row : row + 1])
            torch.testing.assert_close(together[0][row], alone[0][0])
            torch.testing.assert_close(together[1][row], alone[1][0])


def test_numbers_are_rounded_by_at_most_half_a_step() -> None:
    array = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    array[2] = 0
    stored = quantised({"a": array, "b": array[0, 0]})
    assert stored["a"].dtype == np.int8
    back = dequantised(stored)
    step = np.abs(array).max(axis=(1, 2), keepdims=True) / 127
    assert (np.abs(back["a"] - array) <= step / 2 + 1e-7).all()
    assert np.array_equal(back["b"], array[0, 0])


def test_another_file_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    odd = tmp_path / "odd.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, odd)
    lexicon = Pocket.weights[1].path()
    with pytest.raises(WeightsError, match="not a model of this version"):
        PocketModel.read(odd, lexicon)
    odd.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"odd\.safetensors"):
        PocketModel.read(odd, lexicon)


def test_the_folder_stays_small() -> None:
    assert sum(file.stat().st_size for file in Pocket.weights[0].path().parent.glob("*.safetensors")) < 5_000_000


def test_a_clip_takes_milliseconds(pocket: Pocket) -> None:
    import time

    pocket.run(said(SAID["positive"]))
    began = time.process_time()
    for _ in range(20):
        pocket.run(said(SAID["positive"]))
    assert (time.process_time() - began) / 20 < 0.05


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=12))
def test_any_text_gives_a_row_per_word(texts: list[str]) -> None:
    stage = Pocket()
    stage.load("cpu")
    features = stage.run(Transcript(tuple(Word(text, float(i), i + 1.0) for i, text in enumerate(texts))))
    assert features.values.shape == (len(texts), 3)
    assert np.abs(features.values[:, 0]).max(initial=0) <= 3
    assert ((features.values[:, 1] >= 0) & (features.values[:, 1] <= 1)).all()


@pytest.mark.slow
def test_validation_parts_are_scored_as_the_card_says(shared: Path, model: PocketModel) -> None:
    for corpus, worst_error, least_correlation in (("mosi", 0.85, 0.76), ("mosei", 0.605, 0.645)):
        with (shared / "data" / corpus / "label.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["mode"] == "valid" and tokens(row["text"])]
        label = np.array([float(row["label"]) for row in rows])
        got = np.array([model.score(tokens(row["text"])) for row in rows])
        if corpus == "mosei":  # whose people used the scale less widely
            got = np.polyval(np.polyfit(got, label, 1), got)
        assert np.abs(got - label).mean() < worst_error
        assert np.corrcoef(got, label)[0, 1] > least_correlation


def test_words_that_a_program_heard_count_less(pocket: Pocket) -> None:
    words = tuple(Word(text) for text in ["i", "really", "love", "this", "film"])
    written, heard = (pocket.run(Transcript(words, "en", recognised=flag)) for flag in (False, True))
    assert np.array_equal(heard.values[:, 0], written.values[:, 0])
    assert np.allclose(heard.values[:, 1], written.values[:, 1] * HEARD)
    assert heard.notes == written.notes == ()
