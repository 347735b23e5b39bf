"""Token ids against the tokenizer, and their times against the time grid that they become."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msapipe.align import resample
from msapipe.stages.text._times import piece_times
from msapipe.stages.text.tokens import Tokens
from msapipe.types import FeatureSequence, Transcript, Word

TEXT = "What a wonderful day"


def said(text: str) -> Transcript:
    return Transcript(tuple(Word(word, i * 0.5, i * 0.5 + 0.4) for i, word in enumerate(text.split())), "en")


def stage(folder: Path) -> Tokens:
    made = Tokens(checkpoint=str(folder))
    made.load("cpu")
    return made


@pytest.mark.parametrize("family", ["bert", "roberta", "xlnet"])
def test_ids_are_the_tokenizers(encoders: dict[str, Path], family: str) -> None:
    from transformers import AutoTokenizer

    want = AutoTokenizer.from_pretrained(encoders[family])(TEXT, return_token_type_ids=True)
    features = stage(encoders[family]).run(said(TEXT))
    assert features.values[:, 0].tolist() == want["input_ids"]
    assert features.values[:, 1].tolist() == want["token_type_ids"]
    assert features.names == ("input_id", "token_type", "word")
    assert features.valid.all()


def test_bert_has_cls_first_and_xlnet_last(encoders: dict[str, Path]) -> None:
    bert = stage(encoders["bert"]).run(said(TEXT)).values
    assert bert[:, 2].tolist() == [-1, 0, 1, 2, 2, 2, 3, -1]
    xlnet = stage(encoders["xlnet"]).run(said("wonderful won")).values
    assert xlnet[:, 1].tolist() == [0, 0, 0, 0, 0, 2]
    assert xlnet[:, 2].tolist() == [0, 0, 0, 1, -1, -1]


def test_times(encoders: dict[str, Path]) -> None:
    words = Transcript((Word("what", 1, 2), Word("wonderful", 3, 6)))
    times = stage(encoders["bert"]).run(words).times
    assert np.allclose(times, [[1, 1], [1, 2], [3, 4], [4, 5], [5, 6], [6, 6]], atol=1e-5)
    assert times[0, 0] == times[0, 1]
    assert times[-1, 0] == times[-1, 1]


def test_a_word_ends_where_the_next_begins_and_words_at_one_moment_share_their_time() -> None:
    words = Word("x", 0, 1), Word("x", 0.4, 2), Word("x"), Word("x", 3, 4)
    times = piece_times(words, np.array([0, 0, 1, 2, 3]))
    assert np.allclose(times, [[0, 0.2], [0.2, 0.4], [0.4, 1.2], [1.2, 2], [3, 4]])


def test_a_token_that_begins_with_the_space_belongs_to_the_word_behind_it(encoders: dict[str, Path]) -> None:
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.processors import RobertaProcessing

    roberta = stage(encoders["roberta"])
    want = roberta.run(said("ha what ha")).values
    backend = roberta._tokenizer.backend_tokenizer
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False, trim_offsets=False)
    backend.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False, add_prefix_space=False)
    assert roberta._tokenizer("ha what", return_offsets_mapping=True)["offset_mapping"][2] == (2, 6)
    assert np.array_equal(roberta.run(said("ha what ha")).values, want)


def test_a_long_text_is_not_cut_off(encoders: dict[str, Path]) -> None:
    features = stage(encoders["bert"]).run(said(" ".join(["day"] * 600)))
    assert len(features.values) == 602
    assert features.notes == ("602 tokens are more than the 24 that the encoder takes; none was left out",)
    assert not stage(encoders["xlnet"]).run(said(" ".join(["won"] * 600))).notes


def test_no_words(encoders: dict[str, Path]) -> None:
    assert stage(encoders["bert"]).run(Transcript()).values.shape == (0, 3)
    assert stage(encoders["bert"]).run(Transcript((Word("\x00"),))).values.shape == (0, 3)
    assert stage(encoders["xlnet"]).run(Transcript((Word(" "),))).values.shape == (0, 3)


def unchanged_on_their_own_times(times: np.ndarray) -> bool:
    ids = np.random.default_rng(0).integers(0, 2**24, (len(times), 3)).astype(np.float32)
    rows = FeatureSequence(ids, times, np.ones(len(times), bool))
    out = resample(rows, times)
    return bool(np.array_equal(out.values, ids) and out.valid.all())


ODD_WORDS = {
    "one after the other": (Word("what", 0, 1), Word("wonderful", 1, 2)),
    "two at once": (Word("what", 0, 1), Word("wonderful", 0, 1)),
    "overlapping": (Word("wonderful", 0, 1), Word("wonderful", 0.5, 2)),
    "one within another": (Word("wonderful", 0, 3), Word("day", 1, 2), Word("what", 2.5, 4)),
    "backwards": (Word("what", 5, 6), Word("day", 1, 2)),
    "without length": (Word("wonderful", 1, 1), Word("day", 1, 1), Word("what", 1, 2)),
    "without times": (Word("wonderful"), Word("day")),
    "partly without times": (Word("what", 1, 2), Word("wonderful"), Word("day", 3, 4)),
    "after a day": (Word("wonderful", 86400.0, 86400.3), Word("day", 86400.1, 86400.2)),
}


@pytest.mark.parametrize("family", ["bert", "roberta", "xlnet"])
@pytest.mark.parametrize("words", ODD_WORDS.values(), ids=ODD_WORDS)
def test_ids_on_their_own_time_grid_stay_what_they_are(
    encoders: dict[str, Path], family: str, words: tuple[Word, ...]
) -> None:
    features = stage(encoders[family]).run(Transcript(words))
    out = resample(features, features.times)
    assert np.array_equal(out.values, features.values)
    assert out.valid.all()
    assert unchanged_on_their_own_times(features.times)


spans = st.tuples(st.floats(0, 5), st.floats(0, 2), st.integers(1, 4), st.booleans())


@settings(max_examples=150, deadline=None)
@given(st.lists(spans, min_size=1, max_size=8), st.integers(0, 2), st.integers(0, 2))
def test_any_times_of_words_make_rows_apart(
    made: list[tuple[float, float, int, bool]], before: int, behind: int
) -> None:
    words = [Word("x", start, start + length) if timed else Word("x") for start, length, _, timed in made]
    inner = [index for index, (_, _, pieces, _) in enumerate(made) for _ in range(pieces)]
    times = piece_times(words, np.array([-1] * before + inner + [-1] * behind, np.int64))
    assert (np.diff(times[:, 0]) > 0).all()
    assert (times[1:, 0] >= times[:-1, 1]).all()
    assert unchanged_on_their_own_times(times)


def test_sound_is_put_on_the_tokens_times(encoders: dict[str, Path]) -> None:
    grid = stage(encoders["bert"]).run(Transcript((Word("what", 0, 1), Word("day", 1, 2)))).times
    times = np.array([[0, 0.5], [0.5, 1], [1, 1.5], [1.5, 2]])
    sound = FeatureSequence(np.float32([[1], [3], [5], [7]]), times, np.ones(4, bool))
    assert resample(sound, grid).values[:, 0] == pytest.approx([1, 2, 6, 0], abs=1e-4)
